/* Cells are kept cleaned, with their widths, in one growing array; printing walks it twice: once
 * for the column widths, once for the text.
 */
#include "table.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CELL_MAX 512 /* bytes of one cell, cleaned */

struct column {
    char *head;
    enum tide_align align;
    unsigned max_width;
};

struct cell {
    char *text;
    size_t width;
    enum tide_colour colour;
};

struct tide_table {
    struct column column[TIDE_TABLE_COLUMNS];
    size_t columns;
    struct cell *cell; /* rows * columns */
    size_t rows, capacity;
    size_t next; /* cells set in the last row */
};

static void *must(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

/* Decodes one code point of text; 0xfffd for a broken one. Returns the bytes it took (at least 1).
 */
static size_t code_point(const unsigned char *text, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = text[0] < 0x80             ? 1
                 : (text[0] & 0xe0) == 0xc0 ? 2
                 : (text[0] & 0xf0) == 0xe0 ? 3
                 : (text[0] & 0xf8) == 0xf0 ? 4
                                            : 0;
    uint32_t code;

    *ret = 0xfffd;
    if (len == 0)
        return 1;
    if (len == 1) {
        *ret = text[0];
        return 1;
    }
    code = text[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return i;
        code = code << 6 | (text[i] & 0x3fu);
    }
    if (code >= least[len] && code <= 0x10ffff && (code < 0xd800 || code > 0xdfff))
        *ret = code;
    return len;
}

/* Ranges that take no column, and ranges that take two. Enough for names; a terminal may still
 * differ. */
static size_t code_width(uint32_t code)
{
    static const uint32_t zero[][2] = {
        {0x300, 0x36f},   {0x483, 0x489},   {0x591, 0x5bd},   {0x610, 0x61a},   {0x64b, 0x65f},
        {0xe31, 0xe31},   {0xe34, 0xe3a},   {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff}, {0x200b, 0x200f},
        {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfe20, 0xfe2f}};
    static const uint32_t wide[][2] = {{0x1100, 0x115f},   {0x2e80, 0x303e},   {0x3041, 0xa4cf},
                                       {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe30, 0xfe6f},
                                       {0xff00, 0xff60},   {0xffe0, 0xffe6},   {0x1f300, 0x1f64f},
                                       {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff}, {0x20000, 0x3fffd}};

    for (size_t i = 0; i < sizeof zero / sizeof *zero; i++)
        if (code >= zero[i][0] && code <= zero[i][1])
            return 0;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (code >= wide[i][0] && code <= wide[i][1])
            return 2;
    return 1;
}

/* C0, DEL, C1 and the marks that turn the direction of writing: none may reach a terminal. */
static bool is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x202a && code <= 0x202e) ||
           (code >= 0x2066 && code <= 0x2069);
}

size_t tide_text_width(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t width = 0;
    uint32_t code;

    while (*at) {
        at += code_point(at, &code);
        width += code_width(code);
    }
    return width;
}

void tide_text_clean(char *out, size_t size, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t len = 0;
    uint32_t code;

    while (*at) {
        size_t used = code_point(at, &code);
        const char *from = (const char *)at;
        size_t from_len = used;

        if (code == 0xfffd || is_control(code)) {
            from = "?";
            from_len = 1;
        }
        if (len + from_len >= size)
            break;
        memcpy(out + len, from, from_len);
        len += from_len;
        at += used;
    }
    out[len] = '\0';
}

struct tide_table *tide_table_new(void)
{
    return must(calloc(1, sizeof(struct tide_table)));
}

void tide_table_free(struct tide_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->columns; i++)
        free(table->column[i].head);
    for (size_t i = 0; i < table->rows * table->columns; i++)
        free(table->cell[i].text);
    free(table->cell);
    free(table);
}

void tide_table_column(struct tide_table *table, const char *head, enum tide_align align,
                       unsigned max_width)
{
    assert(table->rows == 0 && table->columns < TIDE_TABLE_COLUMNS);
    table->column[table->columns++] =
        (struct column){.head = must(strdup(head)), .align = align, .max_width = max_width};
}

void tide_table_row(struct tide_table *table)
{
    assert(table->columns > 0);
    if (table->rows == table->capacity) {
        table->capacity = table->capacity ? table->capacity * 2 : 64;
        table->cell =
            must(realloc(table->cell, table->capacity * table->columns * sizeof *table->cell));
    }
    memset(table->cell + table->rows * table->columns, 0, table->columns * sizeof *table->cell);
    table->rows++;
    table->next = 0;
}

/* Cuts text to max_width columns, the last of them an ellipsis. */
static void cut(char *text, size_t max_width)
{
    unsigned char *at = (unsigned char *)text;
    size_t width = 0;
    uint32_t code;

    for (;;) {
        size_t used = code_point(at, &code);

        if (width + code_width(code) > max_width - 1)
            break;
        width += code_width(code);
        at += used;
    }
    strcpy((char *)at, "~");
}

void tide_table_cell(struct tide_table *table, const char *text)
{
    char clean[CELL_MAX];
    struct cell *cell;
    const struct column *column;

    assert(table->rows > 0 && table->next < table->columns);
    column = &table->column[table->next];
    cell = &table->cell[(table->rows - 1) * table->columns + table->next++];
    tide_text_clean(clean, sizeof clean, text);
    if (column->max_width && tide_text_width(clean) > column->max_width)
        cut(clean, column->max_width);
    cell->text = must(strdup(clean));
    cell->width = tide_text_width(clean);
}

void tide_table_colour(struct tide_table *table, enum tide_colour colour)
{
    assert(table->rows > 0 && table->next > 0);
    table->cell[(table->rows - 1) * table->columns + table->next - 1].colour = colour;
}

static void pad(FILE *out, size_t count)
{
    while (count--)
        fputc(' ', out);
}

static void print_cell(FILE *out, const char *text, size_t text_width, size_t width,
                       enum tide_align align, bool last, const char *colour)
{
    if (align == TIDE_RIGHT)
        pad(out, width - text_width);
    if (colour)
        fputs(colour, out);
    fputs(text, out);
    if (colour)
        fputs("\033[0m", out);
    if (align == TIDE_LEFT && !last)
        pad(out, width - text_width);
    if (!last)
        pad(out, 2);
}

void tide_table_print(const struct tide_table *table, FILE *out, bool colour,
                      const char *end_of_line)
{
    static const char *const codes[] = {NULL, "\033[32m", "\033[33m", "\033[31m", "\033[90m"};
    size_t width[TIDE_TABLE_COLUMNS], n = table->columns, heads = n;

    for (size_t c = 0; c < n; c++) {
        width[c] = tide_text_width(table->column[c].head);
        for (size_t r = 0; r < table->rows; r++)
            if (table->cell[r * n + c].width > width[c])
                width[c] = table->cell[r * n + c].width;
    }
    while (heads > 1 && table->column[heads - 1].head[0] == '\0')
        heads--;
    for (size_t c = 0; c < heads; c++)
        print_cell(out, table->column[c].head, tide_text_width(table->column[c].head), width[c],
                   table->column[c].align, c + 1 == heads, colour ? "\033[1m" : NULL);
    fputs(end_of_line, out);
    for (size_t r = 0; r < table->rows; r++) {
        size_t used = n;

        while (used > 1 && table->cell[r * n + used - 1].width == 0)
            used--;
        for (size_t c = 0; c < used; c++) {
            const struct cell *cell = &table->cell[r * n + c];

            print_cell(out, cell->text ? cell->text : "", cell->width, width[c],
                       table->column[c].align, c + 1 == used, colour ? codes[cell->colour] : NULL);
        }
        fputs(end_of_line, out);
    }
}

bool tide_wants_colour(FILE *out)
{
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(fileno(out)) && !(no_color && no_color[0]) &&
           !(term && strcmp(term, "dumb") == 0);
}

bool tide_wants_unicode(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = getenv(names[i]);

        if (value && value[0])
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

enum tide_colour tide_status_colour(const char *status)
{
    static const struct {
        const char *status;
        enum tide_colour colour;
    } colours[] = {{"healthy", TIDE_GREEN}, {"ok", TIDE_GREEN},    {"degraded", TIDE_YELLOW},
                   {"critical", TIDE_RED},  {"failing", TIDE_RED}, {"no_data", TIDE_GREY}};

    for (size_t i = 0; i < sizeof colours / sizeof *colours; i++)
        if (strcmp(colours[i].status, status) == 0)
            return colours[i].colour;
    return TIDE_PLAIN_TEXT;
}
