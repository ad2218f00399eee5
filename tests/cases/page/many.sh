# Ten thousand adapters stay fluent: rows in sight alone are elements, whatever is scrolled to,
# sorted or found, and no request is made for the others; what does not change is not made anew.
. "$TEST_LIB/page.sh"
serve --train-tokens 0
browse many.py
