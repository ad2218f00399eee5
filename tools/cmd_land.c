/* `lorafs land`: a study of many tasks and bases. Its words are commands of their own. */
#include "tools/commands.h"

#include "core/nearest.h"
#include "tools/cmd_land.h"

#include <stdio.h>
#include <string.h>

static const struct word {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} words[] = {
    {"tasks", lf_land_cmd_tasks, "list the tasks, or say all of some"},
    {"prepare", lf_land_cmd_prepare, "make rows of tasks from their publishers' files"},
    {"run", lf_land_cmd_run, "train and score all cells of a study"},
    {"status", lf_land_cmd_status, "show how far it is"},
    {"report", lf_land_cmd_report, "write its report"},
};
#define N_WORDS ((int)(sizeof words / sizeof *words))

static void print_help(FILE *to)
{
    fprintf(to, "usage: lorafs land WORD [options]\n\n"
                "The study LoRA Land on this machine: bases x tasks, each scored before and\n"
                "after training.\n\n");
    for (int i = 0; i < N_WORDS; i++)
        fprintf(to, "  %-10s %s\n", words[i].name, words[i].what);
    fprintf(to, "\n`lorafs land WORD --help` explains one.\n");
}

static int unknown(const char *name)
{
    const char *names[N_WORDS + 1];
    for (int i = 0; i < N_WORDS; i++)
        names[i] = words[i].name;
    names[N_WORDS] = NULL;
    const char *near = lf_nearest_word(name, names);
    fprintf(stderr, "lorafs land: no word '%s'%s%s%s\nTry `lorafs land --help`.\n", name,
            near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return 2;
}

int lf_cmd_land(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return 0;
    }
    for (int i = 0; i < N_WORDS; i++)
        if (strcmp(words[i].name, argv[1]) == 0)
            return words[i].run(argc - 1, argv + 1);
    return unknown(argv[1]);
}
