/* LIBS: lf_fs lf_core */
/* Nodes: names, numbers, counts, and moves. */
#include "fs/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct world {
    struct lf_nodes t;
    struct lf_node *models, *ant, *bee;
};

static int setup(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    if (!w || lf_nodes_init(&w->t) != LF_OK)
        return 1;
    w->models = lf_node_get(&w->t, w->t.root, "model", LF_KIND_MODELS);
    lf_node_looked_up(w->models);
    w->ant = lf_node_get(&w->t, w->models, "ant", LF_KIND_ADAPTER);
    lf_node_looked_up(w->ant);
    w->bee = lf_node_get(&w->t, w->models, "bee", LF_KIND_ADAPTER);
    lf_node_looked_up(w->bee);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    lf_nodes_deinit(&w->t);
    free(w);
    return 0;
}

static void keeps_a_node_until_it_is_forgotten(void **state)
{
    struct world *w = *state;
    struct lf_node *n = lf_node_get(&w->t, w->ant, "status", LF_KIND_TEXT);
    lf_node_looked_up(n);
    lf_node_looked_up(n);
    assert_ptr_equal(lf_node_get(&w->t, w->ant, "status", LF_KIND_TEXT), n);
    size_t before = w->t.n_linked;
    lf_node_forget(&w->t, n, 1);
    assert_ptr_equal(lf_node_find(&w->t, w->ant, "status"), n);
    lf_node_forget(&w->t, n, 1);
    assert_null(lf_node_find(&w->t, w->ant, "status"));
    assert_int_equal(w->t.n_linked, before - 1);
}

static void forgets_a_parent_after_its_last_child(void **state)
{
    struct world *w = *state;
    struct lf_node *n = lf_node_get(&w->t, w->ant, "log", LF_KIND_LOG);
    lf_node_looked_up(n);
    lf_node_forget(&w->t, w->ant, 1);
    assert_ptr_equal(lf_node_find(&w->t, w->models, "ant"), w->ant);
    lf_node_forget(&w->t, n, 1);
    assert_null(lf_node_find(&w->t, w->models, "ant"));
}

static void gives_the_same_number_to_the_same_path(void **state)
{
    struct world *w = *state;
    struct lf_node *n = lf_node_get(&w->t, w->ant, "log", LF_KIND_LOG);
    lf_node_looked_up(n);
    uint64_t ino = lf_node_ino(n);
    assert_int_equal(ino, lf_node_child_ino(w->ant, "log"));
    assert_true(ino != lf_node_child_ino(w->bee, "log"));
    lf_node_forget(&w->t, n, 1);
    n = lf_node_get(&w->t, w->ant, "log", LF_KIND_LOG);
    lf_node_hold(n);
    assert_int_equal(lf_node_ino(n), ino);
    lf_node_release(&w->t, n);
    assert_int_equal(lf_node_ino(w->t.root), 1);
}

static void moves_an_adapter_with_what_is_below(void **state)
{
    struct world *w = *state;
    struct lf_place p;
    struct lf_node *n = lf_node_get(&w->t, w->ant, "dataset.jsonl", LF_KIND_UPLOAD);
    lf_node_looked_up(n);
    assert_int_equal(lf_node_move(&w->t, w->ant, w->models, "cow", LF_KIND_ADAPTER), LF_OK);
    assert_null(lf_node_find(&w->t, w->models, "ant"));
    assert_ptr_equal(lf_node_find(&w->t, w->models, "cow"), w->ant);
    assert_ptr_equal(lf_node_find(&w->t, w->ant, "dataset.jsonl"), n);
    lf_node_place(n, &p);
    assert_string_equal(p.owner, "cow");
    assert_string_equal(p.rel, "dataset.jsonl");
}

static void moves_over_a_node_that_lives_on(void **state)
{
    struct world *w = *state;
    struct lf_node *old = lf_node_get(&w->t, w->ant, "dataset.jsonl", LF_KIND_UPLOAD);
    lf_node_looked_up(old);
    struct lf_node *tmp = lf_node_get(&w->t, w->ant, ".dataset.jsonl.Ab12", LF_KIND_LOCAL);
    lf_node_looked_up(tmp);
    lf_node_add_local(tmp);
    assert_int_equal(lf_node_move(&w->t, tmp, w->ant, "dataset.jsonl", LF_KIND_UPLOAD), LF_OK);
    assert_ptr_equal(lf_node_find(&w->t, w->ant, "dataset.jsonl"), tmp);
    assert_false(old->linked);
    assert_true(LIST_EMPTY(&w->ant->locals));
    lf_node_forget(&w->t, old, 1);
    lf_node_forget(&w->t, tmp, 1);
    assert_null(lf_node_find(&w->t, w->ant, "dataset.jsonl"));
}

static void keeps_local_files_that_no_one_looks_at(void **state)
{
    struct world *w = *state;
    struct lf_node *n = lf_node_get(&w->t, w->ant, "notes", LF_KIND_LOCAL);
    lf_node_looked_up(n);
    lf_node_add_local(n);
    lf_node_forget(&w->t, n, 1);
    assert_ptr_equal(lf_node_find(&w->t, w->ant, "notes"), n);
    lf_node_unlink(&w->t, n);
    assert_null(lf_node_find(&w->t, w->ant, "notes"));
}

static void drops_an_adapter_with_its_local_files(void **state)
{
    struct world *w = *state;
    struct lf_node *weights = lf_node_get(&w->t, w->ant, "adapter", LF_KIND_WEIGHTS);
    lf_node_looked_up(weights);
    struct lf_node *n = lf_node_get(&w->t, weights, "half", LF_KIND_LOCAL);
    lf_node_add_local(n);
    lf_node_drop_adapter(&w->t, w->ant);
    assert_null(lf_node_find(&w->t, w->models, "ant"));
    struct lf_node *fresh = lf_node_get(&w->t, w->models, "ant", LF_KIND_ADAPTER);
    assert_ptr_not_equal(fresh, w->ant);
    lf_node_hold(fresh);
    lf_node_release(&w->t, fresh);
}

static void knows_places(void **state)
{
    struct world *w = *state;
    struct lf_place p;
    struct lf_node *versions = lf_node_get(&w->t, w->ant, "versions", LF_KIND_VERSIONS);
    struct lf_node *two = lf_node_get(&w->t, versions, "2", LF_KIND_VERSION);
    struct lf_node *n = lf_node_get(&w->t, two, "adapter_config.json", LF_KIND_REMOTE);
    lf_node_looked_up(n);
    lf_node_place(n, &p);
    assert_int_equal(p.kind, LF_KIND_REMOTE);
    assert_string_equal(p.owner, "ant");
    assert_string_equal(p.rel, "versions/2/adapter_config.json");
    assert_ptr_equal(lf_node_adapter(n), w->ant);
    assert_null(lf_node_adapter(w->models));
    lf_node_place(w->models, &p);
    assert_string_equal(p.owner, "");
    struct lf_node *bases = lf_node_get(&w->t, w->t.root, "base", LF_KIND_BASES);
    struct lf_node *tiny = lf_node_get(&w->t, bases, "tiny", LF_KIND_BASE);
    struct lf_node *info = lf_node_get(&w->t, tiny, "info", LF_KIND_BASE_FILE);
    lf_node_looked_up(info);
    lf_node_place(info, &p);
    assert_string_equal(p.owner, "tiny");
    assert_string_equal(p.rel, "info");
}

static void finds_one_among_many(void **state)
{
    struct world *w = *state;
    char name[32];
    for (int i = 0; i < 20000; i++) {
        snprintf(name, sizeof name, "a%d", i);
        lf_node_looked_up(lf_node_get(&w->t, w->models, name, LF_KIND_ADAPTER));
    }
    for (int i = 0; i < 20000; i += 7) {
        snprintf(name, sizeof name, "a%d", i);
        struct lf_node *n = lf_node_find(&w->t, w->models, name);
        assert_non_null(n);
        assert_string_equal(n->name, name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(keeps_a_node_until_it_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(forgets_a_parent_after_its_last_child, setup, teardown),
        cmocka_unit_test_setup_teardown(gives_the_same_number_to_the_same_path, setup, teardown),
        cmocka_unit_test_setup_teardown(moves_an_adapter_with_what_is_below, setup, teardown),
        cmocka_unit_test_setup_teardown(moves_over_a_node_that_lives_on, setup, teardown),
        cmocka_unit_test_setup_teardown(keeps_local_files_that_no_one_looks_at, setup, teardown),
        cmocka_unit_test_setup_teardown(drops_an_adapter_with_its_local_files, setup, teardown),
        cmocka_unit_test_setup_teardown(knows_places, setup, teardown),
        cmocka_unit_test_setup_teardown(finds_one_among_many, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
