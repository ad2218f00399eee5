# A base of Mistral-7B's shape, trained through the daemon: one job of 16 rows of about 470 tokens a
# step, then 31 jobs of one row of 60 to 500. Prints their tokens a second, while all of them train.
. "$TEST_LIB/http.sh"
. "$TEST_LIB/large.sh"
random_base 20
serve

make_rows "$WORK/even" 400 540
make_rows "$WORK/mixed" 50 490
learn one 16 "${LF_STEPS:-30}" "$WORK/even"
alone=$(train_rate 1 2)
await one '^ready v1'
for i in {1..31}; do
    learn "many$i" 1 $((${LF_STEPS:-30} + 60)) "$WORK/mixed"
done
many=$(train_rate 31 "$(metric train_steps_total)")
echo "ok one job of batch 16: $alone tokens/s; 31 jobs of batch 1: $many tokens/s"
[ "$alone" -gt 0 ] && [ "$many" -gt 0 ]
