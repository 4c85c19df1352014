/* The command table. A command is a row here and a cmd_*.c beside it; help, parsing and "did you
 * mean" come from the rows. Names of two words ("bench ingest") are tried before names of one.
 */
#include "tidemark.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "pass.h"
#include "pages.h"

static const struct tide_command *const commands[] = {
    &tide_command_status,       &tide_command_top,          &tide_command_modules,
    &tide_command_history,      &tide_command_health,       &tide_command_send,
    &tide_command_demo,         &tide_command_bench_ingest, &tide_command_bench_storage,
    &tide_command_bench_query,  &tide_command_backup,       &tide_command_restore,
    &tide_command_verify,       &tide_command_compact,      &tide_command_migrate,
    &tide_command_export,       &tide_command_import,       &tide_command_doctor,
    &tide_command_config_check, &tide_command_config_show,  &tide_command_completion,
    &tide_command_man,
};
#define COMMANDS (sizeof commands / sizeof *commands)

const struct tide_command *const *tide_commands(size_t *ret_count)
{
    *ret_count = COMMANDS;
    return commands;
}

volatile sig_atomic_t tide_stopping;

void tide_say(const char *format, ...)
{
    va_list list;

    fputs("tidemark: ", stderr);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
}

int tide_tool_fail(const struct tide_args *args, enum tide_rc rc, const struct tide_err *err)
{
    tide_say("%s: %s", args->command->name, err && err->text[0] ? err->text : tide_rc_text(rc));
    return tide_rc_exit(rc);
}

static void on_signal(int signo)
{
    (void)signo;
    tide_stopping = 1;
}

void tide_stop_catch(void)
{
    /* Without SA_RESTART: a poll that waits comes back at once. The second signal meets the default
     * action. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static void help_print(FILE *out)
{
    fprintf(out, "usage: tidemark COMMAND [OPTION]...\n\n"
                 "Asks a tidemark daemon, feeds it, and looks after its store.\n\ncommands:\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-14s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out, "\n'tidemark COMMAND --help' tells more; 'tidemark --version' the version.\n");
}

/* The command that argv[1] (and argv[2]) name; *ret_words is how many words its name has. */
static const struct tide_command *command_find(int argc, char **argv, int *ret_words)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        const char *name = commands[i]->name, *blank = strchr(name, ' ');

        if (!blank && strcmp(name, argv[1]) == 0) {
            *ret_words = 1;
            return commands[i];
        }
        if (blank && argc > 2 && strlen(argv[1]) == (size_t)(blank - name) &&
            strncmp(name, argv[1], (size_t)(blank - name)) == 0 &&
            strcmp(blank + 1, argv[2]) == 0) {
            *ret_words = 2;
            return commands[i];
        }
    }
    return NULL;
}

/* True when argv[1] is the first word of some two-word command. */
static bool is_family(const char *word)
{
    size_t len = strlen(word);

    for (size_t i = 0; i < COMMANDS; i++) {
        if (strncmp(commands[i]->name, word, len) == 0 && commands[i]->name[len] == ' ')
            return true;
    }
    return false;
}

static int unknown_command(int argc, char **argv)
{
    const char *names[COMMANDS + 1];
    bool family = is_family(argv[1]);
    char word[160];
    const char *near;

    for (size_t i = 0; i < COMMANDS; i++)
        names[i] = commands[i]->name;
    names[COMMANDS] = "help";
    if (family && argc > 2 && argv[2][0] != '-')
        snprintf(word, sizeof word, "%s %s", argv[1], argv[2]);
    else
        snprintf(word, sizeof word, "%s", argv[1]);
    near = tide_did_you_mean(word, names, COMMANDS + 1);
    if (near)
        tide_say("unknown command '%s', did you mean '%s'?", word, near);
    else
        tide_say("unknown command '%s'; 'tidemark --help' lists them", word);
    return 2;
}

/* Says when stdout could not take what was printed: a full disk must not look like success. */
static int flushed(int code)
{
    if (fflush(stdout) != 0 || ferror(stdout)) {
        tide_say("write to standard output: %s", strerror(errno));
        return code ? code : tide_rc_exit(TIDE_IO);
    }
    return code;
}

static int command_run(const struct tide_command *command, int argc, char **argv)
{
    struct tide_err err = {""};
    struct tide_args args;
    enum tide_rc rc;
    int code;

    if (tide_args_parse(command, argc, argv, &args, &err) != TIDE_OK) {
        tide_say("%s: %s", command->name, err.text);
        return 2;
    }
    if (args.help) {
        tide_command_help(command, stdout);
        return flushed(0);
    }
    if (tide_args_has(&args, "url") && (rc = tide_pass_open(&args, &err)) != TIDE_OK)
        return tide_tool_fail(&args, rc, &err);
    code = command->run(&args);
    tide_pass_close();
    return flushed(code);
}

int tide_tool_main(int argc, char **argv)
{
    const struct tide_command *command;
    int words = 0;

    if (argc < 2) {
        help_print(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("tidemark %s\n", TIDEMARK_VERSION);
        return flushed(0);
    }
    if (strcmp(argv[1], "help") == 0 && argc > 2) { /* `help X` is `X --help` */
        command = command_find(argc - 1, argv + 1, &words);
        if (!command)
            return unknown_command(argc - 1, argv + 1);
        tide_command_help(command, stdout);
        return flushed(0);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        help_print(stdout);
        return flushed(0);
    }
    command = command_find(argc, argv, &words);
    if (!command)
        return unknown_command(argc, argv);
    return command_run(command, argc - 1 - words, argv + 1 + words);
}
