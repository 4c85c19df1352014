/* `tidemark top`: the modules, live. A picture is made in memory and written at once over the one
 * before, line by line, so nothing flickers; the terminal is left as it was found, however it ends.
 */
#include "tidemark.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "ask.h"
#include "human.h"
#include "module_table.h"
#include "tidemark/clock.h"

#define ROWS_MAX    1000
#define ROWS_PLAIN  20 /* when nobody knows the height */
#define FRAME_LINES 4  /* head, figures, heads of the columns, keys */

static const char *const sorts[] = {"trouble", "name", "requests", "p95"};
#define SORTS (sizeof sorts / sizeof *sorts)

struct top {
    const struct tide_args *args;
    const char *sort;
    bool paused;
    struct termios before; /* of the terminal */
    bool raw;
};

/* ---- the terminal ---- */

static void terminal_take(struct top *top)
{
    struct termios raw;

    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &top->before) != 0)
        return;
    raw = top->before;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    top->raw = tcsetattr(STDIN_FILENO, TCSANOW, &raw) == 0;
}

static void terminal_give_back(const struct top *top, bool live)
{
    if (live)
        fputs("\033[?25h\033[?1049l", stdout); /* the cursor, and what was on the screen */
    fflush(stdout);
    if (top->raw)
        tcsetattr(STDIN_FILENO, TCSANOW, &top->before);
}

static unsigned rows_of(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row <= FRAME_LINES)
        return ROWS_PLAIN;
    return size.ws_row - FRAME_LINES < ROWS_MAX ? size.ws_row - FRAME_LINES : ROWS_MAX;
}

/* Cuts a line at the edge of the screen, so that it takes one row. */
static void print_cut(FILE *out, const char *text)
{
    struct winsize size;
    size_t width = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col ? size.ws_col : 80;
    char clean[512];

    tide_text_clean(clean, sizeof clean, text);
    while (clean[0] && tide_text_width(clean) > width)
        clean[strlen(clean) - 1] = '\0';
    fputs(clean, out);
}

/* ---- a picture ---- */

static void print_head(FILE *out, const json_t *metrics, const char *end)
{
    char line[512], a[TIDE_HUMAN_SIZE], b[TIDE_HUMAN_SIZE], c[TIDE_HUMAN_SIZE], d[TIDE_HUMAN_SIZE];
    char time[TIDE_TIME_TEXT_SIZE];

    snprintf(line, sizeof line, "%.19sZ  fleet %s, score %s",
             tide_time_text(time, tide_clock_wall_us()), tide_word(metrics, "overall_health"),
             tide_human_score(a, tide_figure(metrics, "health_score")));
    print_cut(out, line);
    fputs(end, out);
    snprintf(line, sizeof line, "%s modules, %s, %s failed, p95 %s",
             tide_human_count(a, tide_figure(metrics, "total_modules")),
             tide_human_rate(b, tide_figure(metrics, "overall_throughput_rps")),
             tide_human_share(c, tide_figure(metrics, "overall_error_rate")),
             tide_human_ms(d, tide_figure(metrics, "p95_response_time_ms")));
    print_cut(out, line);
    fputs(end, out);
}

/* Asks, and writes what came to out; lines end with end. */
static enum tide_rc picture(const struct top *top, FILE *out, unsigned rows, bool live,
                            struct tide_err *err)
{
    const char *url = tide_args_text(top->args, "url"), *end = live ? "\033[K\r\n" : "\n";
    int timeout_ms = (int)tide_args_number(top->args, "timeout");
    char path[1024] = "/api/v3/metrics/modules", number[16];
    json_t *summary = NULL, *modules = NULL, *module;
    struct tide_table *table = tide_module_table();
    enum tide_rc rc;
    size_t i;

    snprintf(number, sizeof number, "%u", rows);
    tide_path_parameter(path, sizeof path, "limit", number);
    tide_path_parameter(path, sizeof path, "sort", top->sort);
    tide_path_parameter(path, sizeof path, "prefix", tide_args_text(top->args, "prefix"));
    if (!(rc = tide_ask(url, "/api/v3/metrics/summary", timeout_ms, &summary, err)) &&
        !(rc = tide_ask(url, path, timeout_ms, &modules, err))) {
        json_array_foreach(json_object_get(modules, "modules"), i, module)
        {
            tide_module_row(table, module);
        }
        print_head(out, json_object_get(summary, "metrics"), end);
        tide_table_print(table, out, tide_wants_colour(stdout), end);
    }
    tide_table_free(table);
    json_decref(summary);
    json_decref(modules);
    return rc;
}

static void draw(const struct top *top)
{
    struct tide_err err = {""};
    char *text = NULL, line[256];
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    if (!out)
        abort();
    fputs("\033[H", out);
    if (picture(top, out, rows_of(), true, &err)) {
        print_cut(out, err.text);
        fputs("\033[K\r\n", out);
    }
    snprintf(line, sizeof line, "by %s; t trouble, n name, r requests, p p95, space %s, q quit",
             top->sort, top->paused ? "goes on" : "pauses");
    fputs("\033[2m", out);
    print_cut(out, line);
    fputs("\033[0m\033[K\033[J", out);
    fclose(out);
    fwrite(text, 1, len, stdout);
    fflush(stdout);
    free(text);
}

/* ---- the loop ---- */

static void key_press(struct top *top, char key)
{
    if (key == 'q' || key == 'Q')
        tide_stopping = 1;
    else if (key == ' ')
        top->paused = !top->paused;
    for (size_t i = 0; i < SORTS; i++)
        if (key == sorts[i][0])
            top->sort = sorts[i];
}

/* Until it is time for the next picture, or a key asks for one. */
static void wait_for(struct top *top, int64_t until_us)
{
    while (!tide_stopping) {
        int64_t left_us = until_us - tide_clock_mono_us();
        struct pollfd keys = {.fd = top->raw ? STDIN_FILENO : -1, .events = POLLIN};
        char key;

        if (left_us <= 0 && !top->paused)
            return;
        if (poll(&keys, 1, top->paused ? 60000 : (int)(left_us / 1000) + 1) <= 0)
            continue;
        if (read(STDIN_FILENO, &key, 1) <= 0) { /* the terminal is gone */
            tide_stopping = 1;
            return;
        }
        key_press(top, key);
        return;
    }
}

static int run_live(struct top *top)
{
    int64_t step_us = tide_args_number(top->args, "interval") * 1000;
    int64_t drawn_us;

    tide_stop_catch();
    terminal_take(top);
    fputs("\033[?1049h\033[?25l", stdout);
    while (!tide_stopping) {
        drawn_us = tide_clock_mono_us();
        draw(top);
        wait_for(top, drawn_us + step_us);
    }
    terminal_give_back(top, true);
    return 0;
}

static int run_once(const struct top *top)
{
    struct tide_err err = {""};
    enum tide_rc rc = picture(top, stdout, ROWS_PLAIN, false, &err);

    return rc ? tide_tool_fail(top->args, rc, &err) : 0;
}

static int run(const struct tide_args *args)
{
    struct top top = {.args = args, .sort = tide_args_text(args, "sort")};
    struct tide_err err = {""};
    json_t *answer = NULL;
    enum tide_rc rc;

    if (tide_args_flag(args, "json")) {
        char path[256] = "/api/v3/metrics/modules";

        tide_path_parameter(path, sizeof path, "sort", top.sort);
        tide_path_parameter(path, sizeof path, "prefix", tide_args_text(args, "prefix"));
        rc = tide_ask_args(args, path, false, &answer, &err);
        json_decref(answer);
        return rc ? tide_tool_fail(args, rc, &err) : 0;
    }
    if (tide_args_flag(args, "once") || !isatty(STDOUT_FILENO))
        return run_once(&top);
    /* A daemon that is not there at first is a mistake; later it may come back. */
    rc = tide_ask(tide_args_text(args, "url"), "/api/v3/metrics/summary",
                  (int)tide_args_number(args, "timeout"), &answer, &err);
    json_decref(answer);
    return rc ? tide_tool_fail(args, rc, &err) : run_live(&top);
}

static const struct tide_option options[] = {
    {"sort", "trouble|name|requests|p95", "trouble", "order of the rows", TIDE_OPTION_CHOICE, 0, 0},
    {"prefix", "TEXT", NULL, "only names that begin so", TIDE_OPTION_TEXT, 1, 128},
    {"interval", "TIME", "1s", "between two pictures", TIDE_OPTION_DURATION, 200, 3600000},
    {"once", NULL, NULL, "print one table and leave; so it is without a terminal", TIDE_OPTION_FLAG,
     0, 0},
    TIDE_OPTIONS_ASK,
    TIDE_OPTION_HTTP_TIMEOUT,
    TIDE_OPTION_JSON,
    TIDE_OPTION_END};

const struct tide_command tide_command_top = {
    .name = "top",
    .summary = "the modules live, those in trouble first",
    .detail =
        "Keys: t, n, r and p sort by trouble, name, requests and p95, a blank pauses, q quits.\n"
        "When the daemon goes away the last line says so, until it is back.\n\n"
        "Exit: 0, or 69 when the daemon was not there at the start.",
    .option = options,
    .run = run,
};
