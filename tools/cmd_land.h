/* The commands of `lorafs land`, each a main of its own as in tools/commands.h. */
#ifndef LF_TOOLS_CMD_LAND_H
#define LF_TOOLS_CMD_LAND_H

int lf_land_cmd_tasks(int argc, char **argv);
int lf_land_cmd_prepare(int argc, char **argv);
int lf_land_cmd_run(int argc, char **argv);
int lf_land_cmd_status(int argc, char **argv);
int lf_land_cmd_report(int argc, char **argv);

#endif
