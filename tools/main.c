/* lorafs: the command line. Finds the command and hands over to its main (tools/cmd_<name>.c). */
#include "tools/commands.h"
#include "tools/options.h"
#include "tools/version.h"

#include <stdio.h>
#include <string.h>

static const struct lf_command commands[] = {
    {"serve", lf_cmd_serve, "start the daemon and mount its tree"},
    {"mount", lf_cmd_mount, "mount a daemon's tree on a directory"},
    {"umount", lf_cmd_umount, "unmount it"},
    {"ls", lf_cmd_ls, "list the adapters of a daemon"},
    {"status", lf_cmd_status, "show what an adapter, or the daemon, is doing"},
    {"wait", lf_cmd_wait, "wait until adapters are trained and scored"},
    {"log", lf_cmd_log, "print what happened to an adapter"},
    {"rm", lf_cmd_rm, "remove adapters"},
    {NULL, NULL, "Without one:"},
    {"train", lf_cmd_train, "train an adapter on a data set"},
    {"eval", lf_cmd_eval, "score a base or an adapter on a data set"},
    {"generate", lf_cmd_generate, "complete a prompt"},
    {"quantize", lf_cmd_quantize, "write a 4-bit copy of a base model"},
    {"tokenize", lf_cmd_tokenize, "text to token ids and back"},
    {"logits", lf_cmd_logits, "write a base model's logits of given ids"},
    {"bench", lf_cmd_bench, "measure decoding, prefill and training against the device"},
    {"import", lf_cmd_import, "make a checkpoint of a GGUF file"},
    {"pull", lf_cmd_pull, "fetch a checkpoint from a hub"},
    {"land", lf_cmd_land, "the study LoRA Land: its tasks, their rows"},
    {0},
};

static void print_help(FILE *to)
{
    fprintf(to, "usage: lorafs COMMAND [options]\n\n"
                "A tree in which every directory is a LoRA adapter of one shared 4-bit base.\n\n"
                "With a daemon:\n");
    lf_commands_print(to, commands);
    fprintf(to, "\n`lorafs COMMAND --help` explains a command, `lorafs --version` says which.\n");
}

/* `lorafs help COMMAND` is `lorafs COMMAND --help`. */
static int help(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stdout);
        return 0;
    }
    char *help_argv[] = {argv[0], argv[1], (char[]){"--help"}, NULL};
    return lf_command_run("lorafs", commands, 3, help_argv);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return 2;
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0 || strcmp(word, "version") == 0) {
        printf("lorafs %s\n", lf_version);
        return 0;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0)
        return help(argc - 1, argv + 1);
    return lf_command_run("lorafs", commands, argc, argv);
}
