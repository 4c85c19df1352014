/* Numeric addresses only: a daemon that waits for a name server at its start, or listens where a
 * name happened to point that day, is a daemon with surprises. "localhost" is the one name whose
 * meaning is fixed.
 */
#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECTED "expected ADDRESS:PORT, as 127.0.0.1:24224, [::1]:24224 or localhost:24224"

/* Port as written, 0..65535, or -1. */
static int port_of(const char *text)
{
    size_t len = strspn(text, "0123456789");
    long port;

    if (len == 0 || len > 5 || text[len])
        return -1;
    port = strtol(text, NULL, 10);
    return port <= 65535 ? (int)port : -1;
}

static enum tide_rc refuse(const char *text, struct tide_err *err)
{
    tide_err_set(err, EXPECTED ", got \"%.80s\"", text);
    return TIDE_USAGE;
}

enum tide_rc tide_address_check(const char *text, char *ret_numeric, size_t size,
                                bool *ret_loopback, struct tide_err *err)
{
    const bool v6 = text[0] == '[';
    const char *colon = v6 ? strstr(text, "]:") : strrchr(text, ':');
    char host[INET6_ADDRSTRLEN];
    struct in6_addr in6;
    struct in_addr in4;
    size_t len;
    int port;

    if (!colon || (port = port_of(colon + (v6 ? 2 : 1))) < 0)
        return refuse(text, err);
    len = (size_t)(colon - text) - v6;
    if (len == 0 || len >= sizeof(host))
        return refuse(text, err);
    memcpy(host, text + v6, len);
    host[len] = '\0';
    if (v6) {
        if (inet_pton(AF_INET6, host, &in6) != 1)
            return refuse(text, err);
        *ret_loopback =
            IN6_IS_ADDR_LOOPBACK(&in6) || (IN6_IS_ADDR_V4MAPPED(&in6) && in6.s6_addr[12] == 127);
        inet_ntop(AF_INET6, &in6, host, sizeof(host));
        snprintf(ret_numeric, size, "[%s]:%d", host, port);
        return TIDE_OK;
    }
    if (!strcmp(host, "localhost"))
        strcpy(host, "127.0.0.1");
    if (inet_pton(AF_INET, host, &in4) != 1)
        return refuse(text, err);
    *ret_loopback = ntohl(in4.s_addr) >> 24 == 127;
    snprintf(ret_numeric, size, "%s:%d", host, port);
    return TIDE_OK;
}
