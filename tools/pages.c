/* pages - see pages.h. The shells get the table as words, not a program that asks it: a script that
 * works without the tool, and that a package can install.
 */
#include "pages.h"

#include <ctype.h>
#include <string.h>

/* A name as part of an identifier, or of a file's name. */
static void put_name(FILE *out, const char *name, char blank)
{
    for (; *name; name++)
        fputc(*name == ' ' ? blank : *name, out);
}

/* Text inside single quotes of a shell. */
static void put_quoted(FILE *out, const char *text)
{
    fputc('\'', out);
    for (; *text; text++)
        fputs(*text == '\'' ? "'\\''" : (char[]){*text, '\0'}, out);
    fputc('\'', out);
}

static bool is_file(const struct tide_option *option)
{
    static const char *const operand[] = {"DIR", "FILE", "PATH", "DEST"};

    for (size_t i = 0; option->operand && i < sizeof operand / sizeof *operand; i++)
        if (strcmp(option->operand, operand[i]) == 0)
            return true;
    return false;
}

/* "a|b|c" with blanks instead. */
static void put_words(FILE *out, const char *words)
{
    for (; *words; words++)
        fputc(*words == '|' ? ' ' : *words, out);
}

/* ---- bash ---- */

static void bash_command(const struct tide_command *command, FILE *out)
{
    fputs("    ", out);
    put_quoted(out, command->name);
    fputs(")\n        options=\"--help", out);
    for (const struct tide_option *option = command->option; option->name; option++)
        fprintf(out, " --%s", option->name);
    fputs("\"\n        case $before in\n", out);
    for (const struct tide_option *option = command->option; option->name; option++) {
        if (option->kind == TIDE_OPTION_FLAG)
            continue;
        fprintf(out, "        --%s) kind=value words=\"", option->name);
        if (option->kind == TIDE_OPTION_CHOICE)
            put_words(out, option->operand);
        fprintf(out, "\"%s ;;\n", is_file(option) ? " kind=file" : "");
    }
    fprintf(out, "        esac\n        operands=%s ;;\n", command->operands_max ? "file" : "none");
}

static void bash_print(FILE *out)
{
    size_t count;
    const struct tide_command *const *command = tide_commands(&count);

    fputs("# Completion of tidemark for bash: source it, or put it into\n"
          "# /usr/share/bash-completion/completions/tidemark\n"
          "_tidemark()\n{\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
          "    local command=${COMP_WORDS[1]} commands options= words= kind=option operands=none\n"
          "    commands=\"help",
          out);
    for (size_t i = 0; i < count; i++) {
        size_t first = strcspn(command[i]->name, " ");

        if (i == 0 || strncmp(command[i - 1]->name, command[i]->name, first + 1) != 0)
            fprintf(out, " %.*s", (int)first, command[i]->name);
    }
    fputs("\"\n    if (( COMP_CWORD == 1 )); then\n"
          "        COMPREPLY=($(compgen -W \"$commands --version --help\" -- \"$word\"))\n"
          "        return\n    fi\n"
          "    case $command in\n",
          out);
    for (size_t i = 0; i < count; i++) {
        size_t first = strcspn(command[i]->name, " ");

        if (!command[i]->name[first] ||
            (i && strncmp(command[i - 1]->name, command[i]->name, first + 1) == 0))
            continue;
        fprintf(out,
                "    %.*s)\n        if (( COMP_CWORD == 2 )); then\n"
                "            COMPREPLY=($(compgen -W \"",
                (int)first, command[i]->name);
        for (size_t j = i; j < count && strncmp(command[j]->name, command[i]->name, first + 1) == 0;
             j++)
            fprintf(out, "%s ", command[j]->name + first + 1);
        fputs("\" -- \"$word\"))\n            return\n        fi\n"
              "        command+=\" ${COMP_WORDS[2]}\" ;;\n",
              out);
    }
    fputs("    help) COMPREPLY=($(compgen -W \"$commands\" -- \"$word\")); return ;;\n"
          "    esac\n    case $command in\n",
          out);
    for (size_t i = 0; i < count; i++)
        bash_command(command[i], out);
    fputs("    esac\n"
          "    case $kind in\n"
          "    file) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
          "    value) COMPREPLY=($(compgen -W \"$words\" -- \"$word\")) ;;\n"
          "    *)\n"
          "        if [[ $word == -* || $operands == none ]]; then\n"
          "            COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
          "        else\n"
          "            COMPREPLY=($(compgen -f -- \"$word\"))\n"
          "        fi ;;\n"
          "    esac\n}\n"
          "complete -o filenames -F _tidemark tidemark\n",
          out);
}

/* ---- fish ---- */

/* The condition under which a command's options are offered. */
static void fish_seen(FILE *out, const char *name)
{
    const char *blank = strchr(name, ' ');
    int len = blank ? (int)(blank - name) : (int)strlen(name);

    fprintf(out, "'__fish_seen_subcommand_from %.*s", len, name);
    if (blank)
        fprintf(out, "; and __fish_seen_subcommand_from %s", blank + 1);
    fputs("'", out);
}

static void fish_command(const struct tide_command *command, FILE *out)
{
    const char *blank = strchr(command->name, ' ');

    if (blank)
        fprintf(out,
                "complete -c tidemark -f -n '__fish_seen_subcommand_from %.*s; and not "
                "__fish_seen_subcommand_from %s' -a %s -d ",
                (int)(blank - command->name), command->name, blank + 1, blank + 1);
    else
        fprintf(out, "complete -c tidemark -f -n __fish_use_subcommand -a %s -d ", command->name);
    put_quoted(out, command->summary);
    fputc('\n', out);
    for (const struct tide_option *option = command->option; option->name; option++) {
        fputs("complete -c tidemark -n ", out);
        fish_seen(out, command->name);
        fprintf(out, " -l %s", option->name);
        if (option->kind == TIDE_OPTION_CHOICE) {
            fputs(" -x -a '", out);
            put_words(out, option->operand);
            fputs("'", out);
        } else if (option->kind != TIDE_OPTION_FLAG) {
            fputs(is_file(option) ? " -r" : " -x", out);
        }
        fputs(" -d ", out);
        put_quoted(out, option->help);
        fputc('\n', out);
    }
}

static void fish_print(FILE *out)
{
    size_t count;
    const struct tide_command *const *command = tide_commands(&count);

    fputs("# Completion of tidemark for fish: put it into\n"
          "# ~/.config/fish/completions/tidemark.fish\n",
          out);
    for (size_t i = 0; i < count; i++) {
        size_t first = strcspn(command[i]->name, " ");

        if (command[i]->name[first] &&
            (i == 0 || strncmp(command[i - 1]->name, command[i]->name, first + 1) != 0))
            fprintf(out, "complete -c tidemark -f -n __fish_use_subcommand -a %.*s\n", (int)first,
                    command[i]->name);
        fish_command(command[i], out);
    }
}

void tide_completion_print(const char *shell, FILE *out)
{
    if (strcmp(shell, "fish") == 0) {
        fish_print(out);
        return;
    }
    if (strcmp(shell, "zsh") == 0) /* which understands bash's */
        fputs("#compdef tidemark\n# Completion of tidemark for zsh: source it after compinit.\n"
              "autoload -U +X bashcompinit && bashcompinit\n",
              out);
    bash_print(out);
}

/* ---- man ---- */

/* Text of a page: what roff would take for its own is escaped. */
static void roff(FILE *out, const char *text)
{
    bool start = true;

    for (; *text; text++) {
        if (start && (*text == '.' || *text == '\''))
            fputs("\\&", out);
        if (*text == '\\')
            fputs("\\e", out);
        else if (*text == '-')
            fputs("\\-", out);
        else
            fputc(*text, out);
        start = *text == '\n';
    }
}

/* Paragraphs: empty lines between them become requests. */
static void roff_text(FILE *out, const char *text)
{
    while (*text) {
        const char *gap = strstr(text, "\n\n");
        char paragraph[4096];

        snprintf(paragraph, sizeof paragraph, "%.*s", gap ? (int)(gap - text) : (int)strlen(text),
                 text);
        roff(out, paragraph);
        fputs("\n", out);
        if (!gap)
            break;
        fputs(".PP\n", out);
        text = gap + 2;
    }
}

static void man_head(FILE *out, const char *name, const char *summary)
{
    fputs(".TH \"", out);
    for (const char *at = name; *at; at++)
        fputc(*at == ' ' ? '-' : toupper((unsigned char)*at), out);
    fprintf(out, "\" 1 \"\" \"tidemark %s\" \"tidemark\"\n.SH NAME\n", TIDEMARK_VERSION);
    put_name(out, name, '-');
    fputs(" \\- ", out);
    roff(out, summary);
    fputs("\n.SH SYNOPSIS\n", out);
}

static void man_options(const struct tide_command *command, FILE *out)
{
    for (const struct tide_option *option = command->option; option->name; option++) {
        fputs(".TP\n.B \\-\\-", out);
        roff(out, option->name);
        if (option->operand) {
            fputs(" \\fI", out);
            roff(out, option->operand);
            fputs("\\fR", out);
        }
        fputc('\n', out);
        roff(out, option->help);
        if (option->fallback) {
            fputs(" (default: ", out);
            roff(out, option->fallback);
            fputs(")", out);
        }
        fputc('\n', out);
    }
    fputs(".TP\n.B \\-\\-help\nshow a short form of this\n", out);
}

static void man_tool(FILE *out)
{
    size_t count;
    const struct tide_command *const *command = tide_commands(&count);

    man_head(out, "tidemark", "asks a tidemark daemon, feeds it, and looks after its store");
    fputs(".B tidemark\n.I COMMAND\n[\\fIOPTION\\fR]...\n.SH COMMANDS\n", out);
    for (size_t i = 0; i < count; i++) {
        fputs(".TP\n.B ", out);
        roff(out, command[i]->name);
        fputc('\n', out);
        roff(out, command[i]->summary);
        fputs(".\nSee \\fBtidemark\\-", out);
        put_name(out, command[i]->name, '-');
        fputs("\\fR(1).\n", out);
    }
    fputs(".SH EXIT STATUS\n0 done, 1 failed, 2 the words were off, 69 the daemon is not there or "
          "has the store,\n74 input or output failed, 78 the configuration is wrong.\n"
          ".SH SEE ALSO\n\\fBtidemarkd\\fR \\-\\-help\n",
          out);
}

void tide_man_print(const struct tide_command *command, FILE *out)
{
    char name[64];

    if (!command) {
        man_tool(out);
        return;
    }
    snprintf(name, sizeof name, "tidemark %s", command->name);
    man_head(out, name, command->summary);
    fprintf(out, ".B tidemark %s\n[\\fIOPTION\\fR]...\n", command->name);
    if (command->operands)
        fprintf(out, ".I %s\n", command->operands);
    if (command->detail) {
        fputs(".SH DESCRIPTION\n", out);
        roff_text(out, command->detail);
    }
    fputs(".SH OPTIONS\n", out);
    man_options(command, out);
    fputs(".SH SEE ALSO\n\\fBtidemark\\fR(1)\n", out);
}
