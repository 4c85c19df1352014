/* `tidemark completion` and `tidemark man`: made of the table of commands. */
#include "tidemark.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "pages.h"

static int complete(const struct tide_args *args)
{
    static const char *const shells[] = {"bash", "zsh", "fish"};

    for (size_t i = 0; args->operands && i < sizeof shells / sizeof *shells; i++)
        if (strcmp(args->operand[0], shells[i]) == 0) {
            tide_completion_print(shells[i], stdout);
            return 0;
        }
    tide_say("completion: name the shell: bash, zsh or fish");
    return 2;
}

static const struct tide_option no_options[] = {TIDE_OPTION_END};

const struct tide_command tide_command_completion = {
    .name = "completion",
    .operands = "bash|zsh|fish",
    .summary = "print what completes this command's words in a shell",
    .detail = "bash: 'source <(tidemark completion bash)', or save it as\n"
              "/usr/share/bash-completion/completions/tidemark. zsh: the same, after compinit.\n"
              "fish: 'tidemark completion fish > ~/.config/fish/completions/tidemark.fish'.",
    .option = no_options,
    .operands_max = 1,
    .run = complete,
};

/* ---- man ---- */

/* Writes one page into the directory. */
static int page_write(const char *dir, const struct tide_command *command)
{
    char path[1200], name[64] = "";
    FILE *out;

    snprintf(name, sizeof name, "%s%s", command ? "-" : "", command ? command->name : "");
    for (char *at = name; *at; at++)
        *at = *at == ' ' ? '-' : *at;
    snprintf(path, sizeof path, "%s/tidemark%s.1", dir, name);
    out = fopen(path, "w");
    if (out)
        tide_man_print(command, out);
    if (!out || ferror(out) || fclose(out) != 0) {
        tide_say("man: write %s: %s", path, strerror(errno));
        return 74;
    }
    return 0;
}

static int pages_write(const char *dir)
{
    size_t count;
    const struct tide_command *const *command = tide_commands(&count);
    int code;

    if (mkdir(dir, 0777) != 0 && errno != EEXIST) {
        tide_say("man: create %s: %s", dir, strerror(errno));
        return 74;
    }
    code = page_write(dir, NULL);
    for (size_t i = 0; i < count && !code; i++)
        code = page_write(dir, command[i]);
    return code;
}

static int man(const struct tide_args *args)
{
    size_t count;
    const struct tide_command *const *command = tide_commands(&count);
    char name[64] = "";

    if (tide_args_given(args, "output-dir")) {
        if (!args->operands)
            return pages_write(tide_args_text(args, "output-dir"));
        tide_say("man: a command or --output-dir, not both");
        return 2;
    }
    if (!args->operands) {
        tide_man_print(NULL, stdout);
        return 0;
    }
    snprintf(name, sizeof name, "%s%s%s", args->operand[0], args->operands > 1 ? " " : "",
             args->operands > 1 ? args->operand[1] : "");
    for (size_t i = 0; i < count; i++)
        if (strcmp(command[i]->name, name) == 0) {
            tide_man_print(command[i], stdout);
            return 0;
        }
    tide_say("man: unknown command '%s'; 'tidemark --help' lists them", name);
    return 2;
}

static const struct tide_option man_options[] = {
    {"output-dir", "DIR", NULL, "write a file for every command there", TIDE_OPTION_TEXT, 1, 1000},
    TIDE_OPTION_END};

const struct tide_command tide_command_man = {
    .name = "man",
    .operands = "[COMMAND]",
    .summary = "print a command's man page",
    .detail = "'tidemark man backup | man -l -' reads it; --output-dir writes all of them, for a\n"
              "package or a MANPATH. Without a COMMAND it is the page of the tool.",
    .option = man_options,
    .operands_max = 2,
    .run = man,
};
