/* The commands of `lorafs`, git-style: each is a main of its own, argv[0] being its name. They
 * print results on stdout and everything else on stderr; exit status 0, 1 (it failed, the reason
 * was printed) or 2 (the command line is wrong). */
#ifndef LF_TOOLS_COMMANDS_H
#define LF_TOOLS_COMMANDS_H

/* With a daemon */
int lf_cmd_serve(int argc, char **argv);
int lf_cmd_mount(int argc, char **argv);
int lf_cmd_umount(int argc, char **argv);
int lf_cmd_ls(int argc, char **argv);
int lf_cmd_status(int argc, char **argv);
int lf_cmd_top(int argc, char **argv);
int lf_cmd_rm(int argc, char **argv);
int lf_cmd_create(int argc, char **argv);
int lf_cmd_run(int argc, char **argv);
int lf_cmd_chat(int argc, char **argv);
int lf_cmd_cp(int argc, char **argv);
int lf_cmd_export(int argc, char **argv);
int lf_cmd_push(int argc, char **argv);
int lf_cmd_ctl(int argc, char **argv); /* argv[0] is a word of names/ctl.h */
int lf_cmd_wait(int argc, char **argv);
int lf_cmd_log(int argc, char **argv);
int lf_cmd_diff(int argc, char **argv);
int lf_cmd_key(int argc, char **argv);

/* Without one */
int lf_cmd_train(int argc, char **argv);
int lf_cmd_plan(int argc, char **argv);
int lf_cmd_rows(int argc, char **argv);
int lf_cmd_eval(int argc, char **argv);
int lf_cmd_logits(int argc, char **argv);
int lf_cmd_tokenize(int argc, char **argv);
int lf_cmd_generate(int argc, char **argv);
int lf_cmd_quantize(int argc, char **argv);
int lf_cmd_bench(int argc, char **argv);
int lf_cmd_import(int argc, char **argv);
int lf_cmd_pull(int argc, char **argv);
int lf_cmd_land(int argc, char **argv);
int lf_cmd_trash(int argc, char **argv);
int lf_cmd_backup(int argc, char **argv);
int lf_cmd_restore(int argc, char **argv);
int lf_cmd_fsck(int argc, char **argv); /* exit status as of fsck(8) */

#endif
