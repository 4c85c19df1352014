/* `tidemark doctor`: what of this system, this store and this configuration will be in the way,
 * each finding one line with what to do about it. A check is a function and a row. */
#include "tidemark.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "ask.h"
#include "beside.h"
#include "human.h"
#include "table.h"
#include "tidemark/migrate.h"
#include "tidemark/raw.h"
#include "verifying.h"

enum level { OK, WARN, FAIL };
static const char *const level_name[] = {"ok", "warn", "fail"};

struct doctor {
    const struct tide_args *args;
    const char *dir;
    json_t *keys; /* of the configuration; NULL: it is wrong */
    bool is_there, is_lived_in;
    json_t *findings;
    enum level worst;
    const char *area; /* of the check at hand */
};

/* One finding. advice: what to do; NULL when there is nothing to do. */
static void find(struct doctor *doctor, enum level level, const char *advice, const char *format,
                 ...) __attribute__((format(printf, 4, 5)));

static void find(struct doctor *doctor, enum level level, const char *advice, const char *format,
                 ...)
{
    char text[512], clean[512];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    tide_text_clean(clean, sizeof(clean), text);
    if (level > doctor->worst)
        doctor->worst = level;
    json_array_append_new(doctor->findings,
                          json_pack("{s:s, s:s, s:s, s:s?}", "check", doctor->area, "level",
                                    level_name[level], "finding", clean, "advice", advice));
}

/* A whole number of the configuration in effect. */
static int64_t key_number(const struct doctor *doctor, const char *name, int64_t fallback)
{
    json_t *key;
    size_t i;

    json_array_foreach(doctor->keys, i, key)
    {
        if (strcmp(json_string_value(json_object_get(key, "key")), name) == 0 &&
            json_is_integer(json_object_get(key, "value")))
            return json_integer_value(json_object_get(key, "value"));
    }
    return fallback;
}

/* ---- checks ---- */

static void check_config(struct doctor *doctor)
{
    struct tide_err err = {""};
    const char *file = tide_args_text(doctor->args, "config");
    enum tide_rc rc = tide_beside_config(doctor->args, file, &doctor->keys, &err);

    if (!rc)
        find(doctor, OK, NULL, "%s", file ? file : "no file: defaults and environment");
    else if (rc == TIDE_UNAVAILABLE)
        find(doctor, WARN, "name the daemon's program with --daemon", "%s", err.text);
    else
        find(doctor, FAIL, "'tidemark config check' tells, too", "%s", err.text);
}

static void check_daemon(struct doctor *doctor)
{
    struct tide_err err = {""};
    json_t *answer = NULL;
    const char *url = tide_args_text(doctor->args, "url"), *status;
    enum tide_rc rc = tide_ask(url, "/api/v3/health/status", 3000, &answer, &err);

    status = tide_word(answer, "status");
    if (rc)
        find(doctor, WARN, NULL, "%s", err.text); /* which says what to do */
    else
        find(doctor, strcmp(status, "ok") == 0 ? OK : WARN,
             strcmp(status, "ok") == 0 ? NULL : "'tidemark status' tells more", "%s at %s", status,
             url);
    json_decref(answer);
}

static void check_store(struct doctor *doctor)
{
    struct tide_migration_state state;
    struct tide_err err = {""};
    char size[TIDE_HUMAN_SIZE];
    enum tide_rc rc = tide_migrate_look(doctor->dir, &state, &err);

    doctor->is_there = rc != TIDE_NOT_FOUND;
    if (rc == TIDE_NOT_FOUND)
        find(doctor, OK, NULL, "%s: no store yet; the daemon makes it", doctor->dir);
    else if (rc)
        find(doctor, FAIL, "'tidemark verify' tells more", "%s", err.text);
    else if (state.schema > state.program)
        find(doctor, FAIL, "use the newer tidemark that made it", "schema %u, this program has %u",
             state.schema, state.program);
    else if (state.schema < state.program || state.under_way)
        find(doctor, FAIL, "stop the daemon and run 'tidemark migrate'",
             "schema %u%s, this program has %u", state.schema, state.under_way ? " under way" : "",
             state.program);
    else
        find(doctor, OK, NULL, "%s, %s, schema %u", doctor->dir,
             tide_human_bytes(size, (double)state.file_bytes), state.schema);
}

/* The directory, or the nearest one above it that is there. */
static void existing(const struct doctor *doctor, char path[1100])
{
    struct stat info;

    snprintf(path, 1100, "%s", doctor->dir);
    while (stat(path, &info) != 0 && errno == ENOENT) {
        char *slash = strrchr(path, '/');

        if (!slash) {
            strcpy(path, ".");
            return;
        }
        slash[slash == path] = '\0';
        if (slash == path)
            return;
    }
}

static void check_permissions(struct doctor *doctor)
{
    char path[1100];
    struct stat info;

    existing(doctor, path);
    if (stat(path, &info) != 0)
        find(doctor, FAIL, "choose another directory", "%s: %s", path, strerror(errno));
    else if (!S_ISDIR(info.st_mode))
        find(doctor, FAIL, "choose another directory", "%s is not a directory", path);
    else if (access(path, W_OK | X_OK) != 0)
        find(doctor, FAIL, "run as its owner, or change its owner or mode", "%s: %s", path,
             strerror(errno));
    else if (doctor->is_there && (info.st_mode & 077))
        find(doctor, WARN, "chmod 700: what was logged may be read there by others",
             "%s is open to others (mode %03o)", path, info.st_mode & 0777);
    else
        find(doctor, OK, NULL, "%s can be written", path);
}

static void check_filesystem(struct doctor *doctor)
{
    static const struct {
        unsigned long type;
        const char *name, *advice;
        enum level level;
    } known[] = {
        {0x6969, "NFS", "locks and maps do not hold over it: use a local disk", FAIL},
        {0xff534d42, "SMB", "locks and maps do not hold over it: use a local disk", FAIL},
        {0xfe534d42, "SMB", "locks and maps do not hold over it: use a local disk", FAIL},
        {0x01021997, "9p", "locks and maps do not hold over it: use a local disk", FAIL},
        {0x65735546, "FUSE", "make sure that it keeps what is synced", WARN},
        {0x01021994, "tmpfs", "it is memory: all is gone with the next boot", WARN},
        {0x794c7630, "overlayfs", "a container's own layer goes with it: use a volume", WARN},
        {0xef53, "ext4", NULL, OK},
        {0x58465342, "XFS", NULL, OK},
        {0x9123683e, "btrfs", NULL, OK},
        {0x2fc12fc1, "ZFS", NULL, OK},
        {0xf2f52010, "F2FS", NULL, OK},
    };
    char path[1100];
    struct statfs fs;

    existing(doctor, path);
    if (statfs(path, &fs) != 0) {
        find(doctor, FAIL, NULL, "%s: %s", path, strerror(errno));
        return;
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (((unsigned long)fs.f_type & 0xffffffff) == known[i].type) {
            find(doctor, known[i].level, known[i].advice, "%s", known[i].name);
            return;
        }
    find(doctor, WARN, "make sure that it is a local disk that keeps what is synced",
         "of a kind that is not known here (0x%lx)", (unsigned long)fs.f_type & 0xffffffff);
}

static void check_disk(struct doctor *doctor)
{
    char path[1100], free_text[TIDE_HUMAN_SIZE], all[TIDE_HUMAN_SIZE];
    struct statvfs fs;
    double room, whole;
    enum level level = OK;

    existing(doctor, path);
    if (statvfs(path, &fs) != 0) {
        find(doctor, FAIL, NULL, "%s: %s", path, strerror(errno));
        return;
    }
    room = (double)fs.f_bavail * (double)fs.f_frsize;
    whole = (double)fs.f_blocks * (double)fs.f_frsize;
    if (room < 64 << 20)
        level = FAIL;
    else if (room < 0.05 * whole || room < 1 << 30)
        level = WARN;
    find(doctor, level,
         level ? "make room, keep history for less long (retention.*), or set storage.max_bytes"
               : NULL,
         "%s free of %s", tide_human_bytes(free_text, room), tide_human_bytes(all, whole));
}

static void check_files(struct doctor *doctor)
{
    int64_t wanted = key_number(doctor, "ingest.max_connections", 10000) + 256;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_max != RLIM_INFINITY && (int64_t)limit.rlim_max < wanted)
        find(doctor, WARN, "raise it (ulimit -Hn, LimitNOFILE=), or lower ingest.max_connections",
             "%" PRIu64 " open files are allowed, ingest.max_connections wants %" PRId64,
             (uint64_t)limit.rlim_max, wanted);
    else
        find(doctor, OK, NULL, "enough open files are allowed for %" PRId64 " connections",
             wanted - 256);
}

static void check_map(struct doctor *doctor)
{
    int64_t bytes = key_number(doctor, "storage.map_bytes", INT64_C(1) << 40);
    char size[TIDE_HUMAN_SIZE];
    void *map =
        mmap(NULL, (size_t)bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    tide_human_bytes(size, (double)bytes);
    if (map == MAP_FAILED) {
        find(doctor, FAIL,
             "lift the limit (ulimit -v, vm.overcommit_memory), or lower storage.map_bytes",
             "%s of addresses for storage.map_bytes cannot be had: %s", size, strerror(errno));
        return;
    }
    munmap(map, (size_t)bytes);
    find(doctor, OK, NULL, "%s of addresses can be had", size);
}

static void check_clock(struct doctor *doctor)
{
    struct timex state = {.modes = 0};
    int clock = adjtimex(&state);
    time_t now = time(NULL);
    char path[1200];
    struct stat info;

    snprintf(path, sizeof(path), "%s/tidemark.mdb", doctor->dir);
    if (now < 1700000000)
        find(doctor, FAIL, "set it: events are booked by it", "the clock is years behind");
    else if (doctor->is_there && stat(path, &info) == 0 && info.st_mtime > now + 60)
        find(doctor, WARN, "find out which was wrong: finished intervals are not opened again",
             "the store was written %lld s in the future: the clock was set back",
             (long long)(info.st_mtime - now));
    else if (clock == TIME_ERROR || (clock >= 0 && state.status & STA_UNSYNC))
        find(doctor, WARN, "run chrony, ntpd or systemd-timesyncd: a step back makes events late",
             "the kernel's clock is not synchronised");
    else if (clock < 0)
        find(doctor, WARN, NULL, "whether it is synchronised cannot be told: %s", strerror(errno));
    else
        find(doctor, OK, NULL, "synchronised, off by at most %.1f ms",
             (double)state.maxerror / 1000);
}

static void check_readers(struct doctor *doctor)
{
    uint32_t taken = 0, places = 0;
    struct tide_err err = {""};
    enum tide_rc rc;

    if (!doctor->is_there)
        return;
    rc = tide_raw_readers(doctor->dir, &taken, &places, &err);
    if (rc == TIDE_NOT_FOUND)
        find(doctor, OK, NULL, "nobody has opened this store yet");
    else if (rc)
        find(doctor, WARN, "run as the owner of the store", "%s", err.text);
    else
        find(doctor, taken > places * 3 / 4 ? WARN : OK,
             taken > places * 3 / 4 ? "restart the daemon: places of dead readers come free" : NULL,
             "%u of %u places of readers were in use at once", taken, places);
}

static void check_libevent(struct doctor *doctor)
{
    const uint32_t version = event_get_version_number();

    if (version < 0x02010600)
        find(doctor, FAIL, "use 2.1.6 or newer",
             "libevent %s reads outside its buffers on hostile names and addresses "
             "(CVE-2016-10195 to 10197)",
             event_get_version());
    else if (version < 0x02010c00)
        find(doctor, WARN, "use 2.1.12, which this is tested with, or newer", "libevent %s",
             event_get_version());
    else
        find(doctor, OK, NULL, "libevent %s, no hole known here", event_get_version());
    if (version != LIBEVENT_VERSION_NUMBER)
        find(doctor, WARN, NULL, "built with libevent %s", LIBEVENT_VERSION);
}

static const struct {
    const char *area;
    void (*check)(struct doctor *doctor);
} checks[] = {
    {"config", check_config},      {"daemon", check_daemon},         {"store", check_store},
    {"rights", check_permissions}, {"filesystem", check_filesystem}, {"disk", check_disk},
    {"files", check_files},        {"addresses", check_map},         {"clock", check_clock},
    {"readers", check_readers},    {"libevent", check_libevent},
};

/* ---- the command ---- */

static void print_text(const struct doctor *doctor)
{
    static const enum tide_colour colour[] = {TIDE_GREEN, TIDE_YELLOW, TIDE_RED};
    struct tide_table *table = tide_table_new();
    json_t *one;
    size_t i;

    tide_table_column(table, "check", TIDE_LEFT, 0);
    tide_table_column(table, "", TIDE_LEFT, 0);
    tide_table_column(table, "finding", TIDE_LEFT, 0);
    json_array_foreach(doctor->findings, i, one)
    {
        const char *level = tide_word(one, "level"), *advice = tide_word(one, "advice");
        char text[1100];

        snprintf(text, sizeof(text), "%s%s%s", tide_word(one, "finding"), advice[0] ? "; " : "",
                 advice);
        tide_table_row(table);
        tide_table_cell(table, tide_word(one, "check"));
        tide_table_cell(table, level);
        tide_table_colour(table, colour[level[0] == 'o' ? OK : level[0] == 'w' ? WARN : FAIL]);
        tide_table_cell(table, text);
    }
    tide_table_print(table, stdout, tide_wants_colour(stdout), "\n");
    tide_table_free(table);
}

static int run(const struct tide_args *args)
{
    struct doctor doctor = {
        .args = args, .dir = tide_args_text(args, "data-dir"), .findings = json_array()};

    for (size_t i = 0; i < sizeof(checks) / sizeof(*checks); i++) {
        doctor.area = checks[i].area;
        checks[i].check(&doctor);
    }
    if (tide_args_flag(args, "json")) {
        json_t *all =
            json_pack("{s:s, s:O}", "worst", level_name[doctor.worst], "findings", doctor.findings);

        json_dumpf(all, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(all);
    } else {
        print_text(&doctor);
    }
    json_decref(doctor.findings);
    json_decref(doctor.keys);
    return doctor.worst == FAIL ? 1 : 0;
}

static const struct tide_option options[] = {
    TIDE_OPTION_DATA_DIR,
    {"config", "FILE", NULL, "the daemon's configuration", TIDE_OPTION_TEXT, 1, 1000},
    TIDE_OPTIONS_ASK,
    TIDE_OPTION_DAEMON,
    TIDE_OPTION_JSON,
    TIDE_OPTION_END};

const struct tide_command tide_command_doctor = {
    .name = "doctor",
    .summary = "what of this system will be in the way, and what to do",
    .detail = "Looks at the configuration, the daemon, the store and its disk, the limits of this\n"
              "user, the clock, and the libraries. Run it as the user that the daemon runs as.\n"
              "Changes nothing.\n\n"
              "Exit: 0 nothing fails (but there may be warnings), 1 something does.",
    .option = options,
    .run = run,
};
