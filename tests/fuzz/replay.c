/* Runs a fuzz target over the files that are named, or lie in the folders that are: each whole, and
 * cut at every byte. The corpus is the memory of what was once hard; this keeps it from being so
 * again, with any compiler.
 */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

#define CUTS_MAX 2048 /* of one file; of longer ones every n-th */

static unsigned files, runs;

static void replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    size_t size, step;
    struct stat about;

    if (!file || fstat(fileno(file), &about) != 0)
        goto failed;
    size = (size_t)about.st_size;
    data = malloc(size ? size : 1);
    if (!data || fread(data, 1, size, file) != size)
        goto failed;
    fclose(file);
    step = size / CUTS_MAX + 1;
    for (size_t len = 0; len < size; len += step, runs++)
        (void)LLVMFuzzerTestOneInput(data, len);
    (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
    runs++;
    files++;
    return;

failed:
    perror(path);
    exit(1);
}

static void replay(const char *path)
{
    struct stat about;
    struct dirent *entry;
    DIR *dir;

    if (stat(path, &about) != 0 || !S_ISDIR(about.st_mode)) {
        replay_file(path);
        return;
    }
    dir = opendir(path);
    if (!dir) {
        perror(path);
        exit(1);
    }
    while ((entry = readdir(dir))) {
        char name[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        replay_file(name);
    }
    closedir(dir);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    printf("%u files, %u inputs\n", files, runs);
    return files > 0 ? 0 : 1;
}
