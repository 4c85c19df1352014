/* Aligned text tables. A cell may hold anything a peer sent: control characters and broken UTF-8
 * are replaced before they reach a terminal, and widths are those of the screen, not of the bytes.
 */
#ifndef TIDEMARK_TOOLS_TABLE_H
#define TIDEMARK_TOOLS_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define TIDE_TABLE_COLUMNS 16

enum tide_align { TIDE_LEFT, TIDE_RIGHT };
enum tide_colour { TIDE_PLAIN_TEXT, TIDE_GREEN, TIDE_YELLOW, TIDE_RED, TIDE_GREY };

struct tide_table;

struct tide_table *tide_table_new(void); /* aborts when memory is out */
void tide_table_free(struct tide_table *table);

/* Columns first, then rows of cells from left to right; missing cells are empty. max_width 0: as
 * wide as needed; a wider cell is cut with an ellipsis. */
void tide_table_column(struct tide_table *table, const char *head, enum tide_align align,
                       unsigned max_width);
void tide_table_row(struct tide_table *table);
void tide_table_cell(struct tide_table *table, const char *text);
void tide_table_colour(struct tide_table *table, enum tide_colour colour); /* of the last cell */

/* Head and rows, two blanks between columns, no trailing blanks. Every line ends with end_of_line.
 */
void tide_table_print(const struct tide_table *table, FILE *out, bool colour,
                      const char *end_of_line);

/* Columns that text takes on a screen. */
size_t tide_text_width(const char *text);

/* Copies text into out (at most size - 1 bytes), control characters and broken UTF-8 replaced. */
void tide_text_clean(char *out, size_t size, const char *text);

/* A terminal that wants colour: a TTY, no NO_COLOR, TERM is not dumb. */
bool tide_wants_colour(FILE *out);

/* The terminal is told to speak UTF-8 (LC_ALL, LC_CTYPE, LANG). */
bool tide_wants_unicode(void);

/* Colour of "healthy", "degraded", ... */
enum tide_colour tide_status_colour(const char *status);

#endif
