/* What a version is, for people: scores beside the base's, the curve, how it is loaded, how it was
 * trained. Only what is known is said. */
#include "tools/card.h"

#include "core/json.h"

#include <string.h>

static double real_of(const json_t *j, const char *key, double otherwise)
{
    const json_t *v = json_object_get(j, key);
    return json_is_number(v) ? json_number_value(v) : otherwise;
}

/* YAML's header. "base_model" must be a name at a hub; that of a directory here would lead nowhere.
 */
static void put_header(struct lf_buf *b, const struct lf_card *c)
{
    lf_buf_puts(b, "---\nlibrary_name: peft\npipeline_tag: text-generation\n");
    if (strchr(c->base, '/') && c->base[0] != '/') {
        lf_buf_puts(b, "base_model: ");
        lf_buf_json(b, c->base, strlen(c->base)); /* YAML takes JSON's strings */
        lf_buf_putc(b, '\n');
    }
    lf_buf_puts(b, "tags:\n- lora\n- peft\n- lorafs\n---\n\n");
}

static void put_score(struct lf_buf *b, const char *what, const json_t *part)
{
    const json_t *interval = json_object_get(part, "interval");
    lf_buf_printf(b, "| %s | %.4g |", what, real_of(part, "score", 0));
    if (json_array_size(interval) == 2)
        lf_buf_printf(b, " %.4g to %.4g |\n", json_number_value(json_array_get(interval, 0)),
                      json_number_value(json_array_get(interval, 1)));
    else
        lf_buf_puts(b, " |\n");
}

static void put_scores(struct lf_buf *b, const struct lf_card *c)
{
    const json_t *eval = json_object_get(c->metrics, "eval");
    const json_t *base = json_object_get(c->metrics, "base");
    const json_t *train = json_object_get(c->metrics, "train");
    const char *metric = json_string_value(json_object_get(eval, "metric"));
    if (metric && json_is_number(json_object_get(eval, "score"))) {
        lf_buf_printf(b, "## Scores\n\n`%.64s` on %.0f held-out rows:\n\n", metric,
                      real_of(eval, "rows", 0));
        lf_buf_puts(b, "| | score | 95% interval |\n|---|---|---|\n");
        put_score(b, "this adapter", eval);
        if (json_is_number(json_object_get(base, "score")))
            put_score(b, "the base alone", base);
        lf_buf_putc(b, '\n');
    }
    if (json_is_number(json_object_get(train, "loss")))
        lf_buf_printf(b, "The training loss ended at %.4g, over %.0f rows.\n\n",
                      real_of(train, "loss", 0),
                      real_of(json_object_get(c->metrics, "data"), "rows", 0));
    if (c->curve)
        lf_buf_puts(b, "![the loss over the steps](loss.svg)\n\n");
}

static void put_use(struct lf_buf *b, const struct lf_card *c)
{
    const char *name = strchr(c->id, '/') + 1;
    lf_buf_printf(b,
                  "## Use\n\nWith peft:\n```python\nfrom peft import AutoPeftModelForCausalLM\n\n"
                  "model = AutoPeftModelForCausalLM.from_pretrained(\"%s\")\n```\n\n",
                  c->id);
    lf_buf_printf(b,
                  "With lorafs, beside all other adapters of the base:\n```\n$ lorafs pull %s\n"
                  "$ lorafs cp %s %s:\n$ lorafs run %s '...'\n```\n\n",
                  c->id, name, name, name);
}

void lf_card_put(struct lf_buf *b, const struct lf_card *c)
{
    put_header(b, c);
    lf_buf_printf(b, "# %s\n\nA LoRA adapter of %s: version %lld of `%s`, trained with lorafs.\n\n",
                  c->id, c->base, (long long)c->version, c->adapter);
    put_scores(b, c);
    put_use(b, c);
    if (json_object_size(c->settings) > 0) {
        lf_buf_puts(b, "## Settings\n\n```json\n");
        lf_json_put(b, json_incref((json_t *)(uintptr_t)c->settings), JSON_INDENT(2));
        lf_buf_puts(b, "\n```\n");
    }
}
