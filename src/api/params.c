/* params - see params.h. The query string is bytes from anybody: it is cut at '&', each piece is
 * decoded into a bounded buffer, and one switch gives every parameter its type.
 */
#include "params.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tidemark/bytes.h"
#include "tidemark/clock.h"

#define TIDE_X(id, name, help) {name, help},
const struct tide_param_info tide_param_info[TIDE_PARAM_COUNT] = {TIDE_PARAMS(TIDE_X)};
#undef TIDE_X

#define DURATION_MAX_S (INT64_C(36500) * 86400)
#define MOMENT_MAX_US  (INT64_C(253402300799) * 1000000) /* the end of the year 9999 */
#define SHOWN          64 /* bytes of a bad value that are repeated to its sender */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Digits only, at most max. */
static bool parse_uint(const char *text, uint64_t max, uint64_t *ret)
{
    uint64_t value = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (!is_digit(*text))
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > max)
            return false;
    }
    *ret = value;
    return true;
}

bool tide_param_duration(const char *text, int64_t *ret_s)
{
    int64_t value = 0, unit_s;

    if (!is_digit(*text))
        return false;
    for (; is_digit(*text); text++) {
        value = value * 10 + (*text - '0');
        if (value > DURATION_MAX_S)
            return false;
    }
    switch (*text) {
    case 's':
        unit_s = 1;
        break;
    case 'm':
        unit_s = 60;
        break;
    case 'h':
        unit_s = 3600;
        break;
    case 'd':
        unit_s = 86400;
        break;
    default:
        return false;
    }
    if (text[1] || value == 0 || value > DURATION_MAX_S / unit_s)
        return false;
    *ret_s = value * unit_s;
    return true;
}

static bool parse_unix(const char *text, int64_t *ret_us)
{
    int64_t us = 0;
    int64_t place = 100000;

    for (; is_digit(*text); text++) {
        us = us * 10 + (*text - '0') * INT64_C(1000000);
        if (us > MOMENT_MAX_US)
            return false;
    }
    if (*text == '.') {
        text++;
        if (!is_digit(*text))
            return false;
        for (; is_digit(*text); text++, place /= 10)
            us += (*text - '0') * place;
    }
    if (*text)
        return false;
    *ret_us = us;
    return true;
}

bool tide_param_moment(const char *text, int64_t now_us, int64_t *ret_us)
{
    char fixed[64];
    size_t len = strlen(text);
    int64_t us, back_s;

    if (text[0] == '-') {
        if (!tide_param_duration(text + 1, &back_s))
            return false;
        us = now_us - back_s * 1000000;
        *ret_us = us > 0 ? us : 0;
        return true;
    }
    if (is_digit(text[0]) && parse_unix(text, &us)) {
        *ret_us = us;
        return true;
    }
    if (len >= sizeof(fixed))
        return false;
    memcpy(fixed, text, len + 1);
    /* A '+' of the zone that was not escaped has arrived as a blank. */
    if (len > 6 && fixed[len - 6] == ' ')
        fixed[len - 6] = '+';
    if (!tide_time_parse(fixed, len, &us) || us < 0 || us > MOMENT_MAX_US)
        return false;
    *ret_us = us;
    return true;
}

/* Undoes %xx and '+'. False: a bad escape, a zero byte, no UTF-8, or longer than size - 1. */
static bool decode(const char *from, size_t len, char *to, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; i < len; i++) {
        char c = from[i];

        if (c == '%') {
            int high = i + 2 < len ? tide_hex_digit(from[i + 1]) : -1;
            int low = i + 2 < len ? tide_hex_digit(from[i + 2]) : -1;

            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        if (c == '\0' || used + 1 >= size)
            return false;
        to[used++] = c;
    }
    to[used] = '\0';
    for (size_t at = 0, step; at < used; at += step) {
        step = tide_utf8_step(to + at, used - at);
        if (step == 0)
            return false;
    }
    return true;
}

static bool parse_flag(const char *text, bool *ret)
{
    *ret = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;
    return *ret || strcmp(text, "false") == 0 || strcmp(text, "0") == 0;
}

static bool parse_sort(const char *text, enum tide_sort *ret)
{
    static const char *const name[] = {[TIDE_SORT_NAME] = "name",
                                       [TIDE_SORT_TROUBLE] = "trouble",
                                       [TIDE_SORT_REQUESTS] = "requests",
                                       [TIDE_SORT_P95] = "p95"};

    for (unsigned i = 0; i < sizeof(name) / sizeof(name[0]); i++)
        if (strcmp(text, name[i]) == 0) {
            *ret = (enum tide_sort)i;
            return true;
        }
    return false;
}

static bool parse_format(const char *text, enum tide_format *ret)
{
    static const char *const name[] = {[TIDE_FORMAT_JSON] = "json",
                                       [TIDE_FORMAT_COLUMNS] = "columns",
                                       [TIDE_FORMAT_CSV] = "csv",
                                       [TIDE_FORMAT_MSGPACK] = "msgpack"};

    for (unsigned i = 0; i < sizeof(name) / sizeof(name[0]); i++)
        if (strcmp(text, name[i]) == 0) {
            *ret = (enum tide_format)i;
            return true;
        }
    return false;
}

/* "0.5,0.999". Plain decimals only: strtod would also take 0x1p-1, nan and blanks. */
static bool parse_quantiles(const char *text, struct tide_params *params)
{
    while (*text) {
        size_t len = strcspn(text, ",");
        double value;

        if (len == 0 || len > 16 || strspn(text, "0123456789.") < len)
            return false;
        if (params->quantiles == TIDE_QUANTILES_MAX)
            return false;
        {
            char one[17], *end;

            memcpy(one, text, len);
            one[len] = '\0';
            value = strtod(one, &end);
            if (*end || !(value > 0 && value <= 1))
                return false;
        }
        params->quantile[params->quantiles++] = value;
        text += len;
        if (*text == ',' && !*++text)
            return false;
    }
    return params->quantiles > 0;
}

static bool copy_name(const char *text, char to[TIDE_MODULE_NAME_MAX + 1])
{
    size_t len = strlen(text);

    if (len > TIDE_MODULE_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    memcpy(to, text, len + 1);
    return true;
}

/* One parameter with its decoded value. */
static bool take(enum tide_param param, const char *value, const struct tide_param_rules *rules,
                 struct tide_window_bounds window, int64_t now_us, struct tide_params *params)
{
    uint64_t count;
    int64_t seconds;

    switch (param) {
    case TIDE_PARAM_MODULE_ID:
        if (!copy_name(value, params->module_id))
            return false;
        params->module_len = strlen(params->module_id);
        return true;
    case TIDE_PARAM_WINDOW:
        if (!tide_param_duration(value, &seconds) || seconds < window.min_s ||
            (window.max_s > 0 && seconds > window.max_s) || seconds > UINT32_MAX)
            return false;
        params->window_s = (uint32_t)seconds;
        return true;
    case TIDE_PARAM_FROM:
        return tide_param_moment(value, now_us, &params->from_us);
    case TIDE_PARAM_TO:
        return tide_param_moment(value, now_us, &params->to_us);
    case TIDE_PARAM_STEP:
        return tide_param_duration(value, &params->step_s);
    case TIDE_PARAM_LIMIT:
        if (!parse_uint(value, rules->limit_max, &count) || count == 0)
            return false;
        params->limit = (uint32_t)count;
        return true;
    case TIDE_PARAM_CURSOR:
        strcpy(params->cursor, value); /* both hold TIDE_PARAM_TEXT_MAX bytes */
        return *value;
    case TIDE_PARAM_FIELDS:
        strcpy(params->fields, value);
        return *value;
    case TIDE_PARAM_FORMAT:
        return parse_format(value, &params->format);
    case TIDE_PARAM_QUANTILES:
        return parse_quantiles(value, params);
    case TIDE_PARAM_HISTOGRAM:
        return parse_flag(value, &params->histogram);
    case TIDE_PARAM_AGGREGATE:
        return parse_flag(value, &params->aggregate);
    case TIDE_PARAM_STATUS:
        params->status = tide_status_find(value);
        return params->status >= 0;
    case TIDE_PARAM_PREFIX:
        return copy_name(value, params->prefix);
    case TIDE_PARAM_SORT:
        return parse_sort(value, &params->sort);
    case TIDE_PARAM_COUNT:
        break;
    }
    assert(0 && "a parameter without a type");
    return false;
}

static void refuse(enum tide_param param, const char *value, const struct tide_param_rules *rules,
                   struct tide_window_bounds window, struct tide_err *err)
{
    const char *name = tide_param_info[param].name;

    if (param == TIDE_PARAM_LIMIT)
        tide_err_set(err, "parameter %s: '%.*s' is not a whole number from 1 to %u", name, SHOWN,
                     value, rules->limit_max);
    else if (param == TIDE_PARAM_WINDOW && window.max_s > 0)
        tide_err_set(
            err,
            "parameter %s: '%.*s' is not a duration such as 90s, 5m, 2h or 7d from %us to %llds",
            name, SHOWN, value, window.min_s, (long long)window.max_s);
    else
        tide_err_set(err, "parameter %s: '%.*s' is not what is expected: %s", name, SHOWN, value,
                     tide_param_info[param].help);
}

static int find(const char *name)
{
    for (int i = 0; i < TIDE_PARAM_COUNT; i++)
        if (strcmp(tide_param_info[i].name, name) == 0)
            return i;
    return -1;
}

/* One piece between two '&'. */
static enum tide_rc take_piece(const char *piece, size_t len, const struct tide_param_rules *rules,
                               struct tide_window_bounds window, int64_t now_us,
                               struct tide_params *params, struct tide_err *err)
{
    const char *equals = memchr(piece, '=', len);
    size_t name_len = equals ? (size_t)(equals - piece) : len;
    char name[SHOWN + 1], value[TIDE_PARAM_TEXT_MAX + 1] = "";
    int param;

    if (!decode(piece, name_len, name, sizeof(name))) {
        tide_err_set(err, "unknown parameter '%.*s'", name_len < SHOWN ? (int)name_len : SHOWN,
                     piece);
        return TIDE_USAGE;
    }
    param = find(name);
    if (param < 0 || !(rules->allowed & 1u << param)) {
        tide_err_set(err, "unknown parameter '%s'", name);
        return TIDE_USAGE;
    }
    if (params->given & 1u << param) {
        tide_err_set(err, "parameter %s is given twice", name);
        return TIDE_USAGE;
    }
    params->given |= 1u << param;
    if (equals && !decode(equals + 1, len - name_len - 1, value, sizeof(value))) {
        tide_err_set(err, "parameter %s is not valid percent-encoded UTF-8 of at most %d bytes",
                     name, TIDE_PARAM_TEXT_MAX);
        return TIDE_USAGE;
    }
    if (!take((enum tide_param)param, value, rules, window, now_us, params)) {
        refuse((enum tide_param)param, value, rules, window, err);
        return TIDE_USAGE;
    }
    return TIDE_OK;
}

enum tide_rc tide_params_parse(const char *query, const struct tide_param_rules *rules,
                               struct tide_window_bounds window, int64_t now_us,
                               struct tide_params *ret, struct tide_err *err)
{
    memset(ret, 0, sizeof(*ret));
    ret->status = -1;
    ret->limit = rules->limit;
    while (query && *query) {
        size_t len = strcspn(query, "&");
        enum tide_rc rc = TIDE_OK;

        if (len > 0)
            rc = take_piece(query, len, rules, window, now_us, ret, err);
        if (rc)
            return rc;
        query += len;
        query += *query == '&';
    }
    return TIDE_OK;
}
