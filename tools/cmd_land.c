/* `lorafs land`: a study of many tasks and bases. Its commands are programs of their own. */
#include "tools/commands.h"

#include "tools/cmd_land.h"
#include "tools/options.h"

#include <stdio.h>
#include <string.h>

static const struct lf_command commands[] = {
    {"tasks", lf_land_cmd_tasks, "list the tasks, or say all of some"},
    {"prepare", lf_land_cmd_prepare, "make rows of tasks from their publishers' files"},
    {"run", lf_land_cmd_run, "train and score all cells of a study"},
    {"status", lf_land_cmd_status, "show how far it is"},
    {"report", lf_land_cmd_report, "write its report"},
    {0},
};

static void print_help(FILE *to)
{
    fprintf(to, "usage: lorafs land COMMAND [options]\n\n"
                "The study LoRA Land on this machine: bases x tasks, each scored before and\n"
                "after training.\n\n");
    lf_commands_print(to, commands);
    fprintf(to, "\n`lorafs land COMMAND --help` explains one.\n");
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
    return lf_command_run("lorafs land", commands, argc, argv);
}
