/* `lorafs land`: a study of many tasks and bases. Its commands are programs of their own. */
#include "tools/commands.h"

#include "core/nearest.h"
#include "tools/cmd_land.h"

#include <stdio.h>
#include <string.h>

static const struct land_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *what;
} commands[] = {
    {"tasks", lf_land_cmd_tasks, "list the tasks, or say all of some"},
    {"prepare", lf_land_cmd_prepare, "make rows of tasks from their publishers' files"},
    {"run", lf_land_cmd_run, "train and score all cells of a study"},
    {"status", lf_land_cmd_status, "show how far it is"},
    {"report", lf_land_cmd_report, "write its report"},
};
#define N_COMMANDS ((int)(sizeof commands / sizeof *commands))

static void print_help(FILE *to)
{
    fprintf(to, "usage: lorafs land COMMAND [options]\n\n"
                "The study LoRA Land on this machine: bases x tasks, each scored before and\n"
                "after training.\n\n");
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].what);
    fprintf(to, "\n`lorafs land COMMAND --help` explains one.\n");
}

static int unknown(const char *name)
{
    const char *names[N_COMMANDS + 1];
    for (int i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i].name;
    names[N_COMMANDS] = NULL;
    const char *near = lf_nearest_word(name, names);
    fprintf(stderr, "lorafs land: no command '%s'%s%s%s\nTry `lorafs land --help`.\n", name,
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
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, argv[1]) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return unknown(argv[1]);
}
