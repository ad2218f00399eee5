/* lorafs: the command line. Finds the command and hands over to its main (tools/cmd_<name>.c). */
#include "tools/commands.h"
#include "tools/options.h"
#include "tools/streams.h"
#include "tools/version.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct lf_command commands[] = {
    {"serve", lf_cmd_serve, "start the daemon and mount its tree"},
    {"mount", lf_cmd_mount, "mount a daemon's tree on a directory"},
    {"umount", lf_cmd_umount, "unmount it"},
    {"ls", lf_cmd_ls, "list the adapters of a daemon"},
    {"status", lf_cmd_status, "show what an adapter, or the daemon, is doing"},
    {"top", lf_cmd_top, "watch requests, memory, trainings and adapters"},
    {"create", lf_cmd_create, "make adapters"},
    {"train", lf_cmd_train, "train one on a data set; also without a daemon"},
    {"wait", lf_cmd_wait, "wait until adapters are trained and scored"},
    {"log", lf_cmd_log, "print what happened to an adapter"},
    {"diff", lf_cmd_diff, "compare two versions: settings, rows, scores, curves"},
    {"run", lf_cmd_run, "complete a prompt with an adapter"},
    {"chat", lf_cmd_chat, "talk with an adapter"},
    {"cp", lf_cmd_cp, "copy files of adapters in and out"},
    {"export", lf_cmd_export, "write an adapter for other programs, alone or merged"},
    {"push", lf_cmd_push, "upload an adapter to a hub, with a model card"},
    {"cancel", lf_cmd_ctl, "end a training; the version before stays"},
    {"pause", lf_cmd_ctl, "hold a training at a step boundary"},
    {"resume", lf_cmd_ctl, "go on with it"},
    {"finish", lf_cmd_ctl, "end it after this step, as a version"},
    {"retry", lf_cmd_ctl, "train again what failed or was cancelled"},
    {"rollback", lf_cmd_ctl, "serve an older version"},
    {"rm", lf_cmd_rm, "remove adapters"},
    {"key", lf_cmd_key, "make, list and revoke the keys of a daemon"},
    {"trash", lf_cmd_trash, "list, restore or throw away what was removed"},
    {NULL, NULL, "Without one:"},
    {"plan", lf_cmd_plan, "foretell what trainings need of a device, and what would fit"},
    {"rows", lf_cmd_rows, "show rows as they are learnt, and what is odd about them"},
    {"eval", lf_cmd_eval, "score a base or an adapter on a data set; also by a daemon"},
    {"generate", lf_cmd_generate, "complete a prompt"},
    {"quantize", lf_cmd_quantize, "write a 4-bit copy of a base model"},
    {"tokenize", lf_cmd_tokenize, "text to token ids and back"},
    {"logits", lf_cmd_logits, "write a base model's logits of given ids"},
    {"bench", lf_cmd_bench, "measure decoding, prefill and training against the device"},
    {"import", lf_cmd_import, "make a checkpoint, or an adapter, of a GGUF file"},
    {"pull", lf_cmd_pull, "fetch a checkpoint from a hub"},
    {"backup", lf_cmd_backup, "copy a data directory, also while a daemon runs on it"},
    {"restore", lf_cmd_restore, "make a data directory of a backup"},
    {"fsck", lf_cmd_fsck, "check a data directory, and mend it"},
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

/* `lorafs SOURCE DIR -o WORDS`, as mount(8) calls the program of a type fuse.lorafs: becomes
 * `lorafs mount`. SOURCE may be "lorafs" or "none", for the default socket. */
static bool is_mount(int argc, char **argv)
{
    const char *s = argv[1];
    bool source = strstr(s, "://") || strncmp(s, "unix:", 5) == 0 || s[0] == '/' ||
                  strcmp(s, "lorafs") == 0 || strcmp(s, "none") == 0;
    return argc >= 3 && source && argv[2][0] != '-';
}

static int mount(int argc, char **argv)
{
    const char *s = argv[1];
    char *name = (char[]){"mount"};
    if (strcmp(s, "lorafs") == 0 || strcmp(s, "none") == 0) {
        argv[1] = name;
        return lf_cmd_mount(argc - 1, argv + 1);
    }
    argv[0] = name;
    return lf_cmd_mount(argc, argv);
}

static int run(int argc, char **argv)
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
    if (is_mount(argc, argv))
        return mount(argc, argv);
    return lf_command_run("lorafs", commands, argc, argv);
}

int main(int argc, char **argv)
{
    lf_streams_open();
    return lf_streams_close("lorafs", run(argc, argv));
}
