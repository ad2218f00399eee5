/* Presets of options: the environment, and lorafs.conf of the user and of the machine.
 *
 *     base = ~/bases/mistral-7b        # for every command that has such an option
 *     [train]
 *     device = cpu                     # for this one
 *
 * --name is LORAFS_NAME in the environment, or LORAFS_TRAIN_NAME for one command alone ('-' and ' '
 * are '_'). What is given for a command alone goes before what is for all; of the same, the
 * environment goes before ~/.config/lorafs/lorafs.conf, and that before /etc/lorafs/lorafs.conf.
 */
#ifndef LF_TOOLS_CONF_H
#define LF_TOOLS_CONF_H

#include "tools/options.h"

/* Reads the files into the environment of this process, where nothing is there yet. LF_E_INVALID
 * names the file and the line. */
enum lf_err lf_conf_load(const struct lf_usage *u, struct lf_diag *diag) LF_MUST_CHECK;
/* An option's preset, and in `from` the variable that has it; NULL: none. Borrowed from the
 * environment. */
const char *lf_conf_preset(char from[LF_CONF_NAME_MAX], const struct lf_usage *u,
                           const struct lf_option *o);

#endif
