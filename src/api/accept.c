/* accept - see accept.h. */
#include "accept.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static double quality_of(const char *params, size_t len)
{
    while (len > 0) {
        size_t part = 0;

        while (part < len && params[part] != ';')
            part++;
        while (part > 0 && (*params == ' ' || *params == '\t')) {
            params++;
            part--;
            len--;
        }
        if (part >= 3 && (params[0] == 'q' || params[0] == 'Q') && params[1] == '=') {
            double q = 0, place = 0.1;
            size_t i = 2;

            if (params[i] == '1')
                return 1;
            if (params[i++] != '0' || i == part || params[i++] != '.')
                return 0;
            for (; i < part && params[i] >= '0' && params[i] <= '9'; i++, place /= 10)
                q += (params[i] - '0') * place;
            return q;
        }
        params += part;
        len -= part;
        if (len > 0) {
            params++;
            len--;
        }
    }
    return 1;
}

double tide_accept_quality(const char *header, const char *choice)
{
    size_t choice_len = strlen(choice);
    double best = -1;

    while (header && *header) {
        size_t len, name_len;

        header += strspn(header, " \t,");
        len = strcspn(header, ",");
        name_len = strcspn(header, ";, \t");
        if (name_len == choice_len && strncasecmp(header, choice, choice_len) == 0) {
            const char *params = memchr(header, ';', len);
            double q = params ? quality_of(params + 1, len - (size_t)(params + 1 - header)) : 1;

            if (q > best)
                best = q;
        }
        header += len;
    }
    return best;
}

bool tide_accept_gzip(const char *accept_encoding)
{
    double q = tide_accept_quality(accept_encoding, "gzip");

    if (q < 0)
        q = tide_accept_quality(accept_encoding, "x-gzip");
    if (q < 0)
        q = tide_accept_quality(accept_encoding, "*");
    return q > 0;
}

bool tide_accept_prefers(const char *accept, const char *type, const char *other)
{
    double q = tide_accept_quality(accept, type);

    return q > 0 && q > tide_accept_quality(accept, other);
}
