/* A file behind a URL as the base of an outline, read by range requests from many threads.
 *
 *     http make URL OUTLINE            reads all of URL once and keeps its digests in OUTLINE
 *     http repair URL OUTLINE FILE     repairs FILE, and asks URL for the ranges that are damaged and for nothing else
 *
 * Options before the verb: --threads N (16), --timeout SECONDS without progress (30), --attempts N of a request (3).
 * A server that answers with other bytes, more or fewer, or not at all changes nothing in FILE: its answer is verified
 * before it is written. What OUTLINE says is believed, so it comes from where the root comes from, and not from a mirror.
 * Ends with 0 only if everything was right. C11, POSIX and libcurl; the library itself knows nothing of HTTP.
 */
#define _XOPEN_SOURCE 700

#include <atlas_manifold.h>

#include <curl/curl.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 256, LEAST_SPEED = 100 };

/* A URL, and the connections to it that are idle. */
struct server {
    const char *url;
    long timeout;
    int attempts;
    pthread_mutex_t lock; /* of all below */
    CURL *idle[MOST_THREADS];
    int idle_count, running, most, requests;
    uint64_t bytes;
    char error[2 * CURL_ERROR_SIZE];
};

/* The bytes of one request. */
struct answer {
    CURL *curl;
    uint8_t *out;
    size_t size, got;
    bool is_whole; /* the request is for all of the file, so that a server may answer without a range */
};

static CURL *connect_to(const struct server *server)
{
    CURL *curl = curl_easy_init();
    if (curl != NULL) {
        (void)curl_easy_setopt(curl, CURLOPT_URL, server->url);
        (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L); /* signals and threads do not mix */
        (void)curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
        (void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, server->timeout);
        (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, server->timeout);
        (void)curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)LEAST_SPEED);
#if LIBCURL_VERSION_NUM >= 0x075500
        (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
        (void)curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
#endif
    }
    return curl;
}

/* A connection of this thread's own until it is given back. */
static CURL *take(struct server *server)
{
    CURL *curl = NULL;
    (void)pthread_mutex_lock(&server->lock);
    if (server->idle_count > 0) {
        curl = server->idle[--server->idle_count];
    }
    server->requests++;
    server->running++;
    if (server->most < server->running) {
        server->most = server->running;
    }
    (void)pthread_mutex_unlock(&server->lock);
    return curl != NULL ? curl : connect_to(server);
}

static void give_back(struct server *server, CURL *curl, bool is_usable, size_t bytes)
{
    (void)pthread_mutex_lock(&server->lock);
    server->running--;
    server->bytes += bytes;
    if (is_usable && server->idle_count < MOST_THREADS) {
        server->idle[server->idle_count++] = curl;
        curl = NULL;
    }
    (void)pthread_mutex_unlock(&server->lock);
    curl_easy_cleanup(curl);
}

/* Takes bytes of an answer, and never more than were asked for. */
static size_t receive(char *data, size_t one, size_t count, void *user)
{
    struct answer *answer = user;
    const size_t size = one * count;
    long status = 0;
    (void)curl_easy_getinfo(answer->curl, CURLINFO_RESPONSE_CODE, &status);
    if (size > answer->size - answer->got || (status != 206 && !(status == 200 && answer->is_whole))) {
        return 0; /* which ends the request */
    }
    memcpy(answer->out + answer->got, data, size);
    answer->got += size;
    return size;
}

/* The errno value that says best why a request failed. */
static int errno_of(CURLcode code)
{
    switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
        return ETIMEDOUT;
    case CURLE_COULDNT_CONNECT:
        return ECONNREFUSED;
    case CURLE_OUT_OF_MEMORY:
        return ENOMEM;
    default:
        return EIO;
    }
}

/* Keeps the first failure, for the end. */
static void note(struct server *server, uint64_t offset, size_t size, const struct answer *answer, CURLcode code)
{
    long status = 0;
    (void)curl_easy_getinfo(answer->curl, CURLINFO_RESPONSE_CODE, &status);
    (void)pthread_mutex_lock(&server->lock);
    if (server->error[0] == '\0') {
        (void)snprintf(server->error, sizeof server->error,
            "%zu bytes at offset %" PRIu64 ": status %ld, %zu bytes taken: %s", size, offset, status, answer->got,
            curl_easy_strerror(code));
    }
    (void)pthread_mutex_unlock(&server->lock);
}

/* One request. Returns 0 or an errno value. */
static int request(struct server *server, uint64_t offset, void *buffer, size_t size, bool is_whole)
{
    CURL *curl = take(server);
    if (curl == NULL) {
        give_back(server, NULL, false, 0);
        return ENOMEM;
    }
    struct answer answer = {.curl = curl, .out = buffer, .size = size, .is_whole = is_whole};
    char range[2 * 20 + 2];
    (void)snprintf(range, sizeof range, "%" PRIu64 "-%" PRIu64, offset, offset + size - 1);
    (void)curl_easy_setopt(curl, CURLOPT_RANGE, range);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, receive);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, (void *)&answer);
    const CURLcode code = curl_easy_perform(curl);
    const bool is_well = code == CURLE_OK && answer.got == size;
    if (!is_well) {
        note(server, offset, size, &answer, code);
    }
    /* A connection that failed may have bytes of the answer left. */
    give_back(server, curl, is_well, answer.got);
    return is_well ? 0 : errno_of(code);
}

/* The source: called from several threads at a time. */
static int read_at(void *user_data, uint64_t offset, void *buffer, size_t size)
{
    struct server *server = user_data;
    int error = 0;
    for (int attempt = 0; size > 0 && attempt < server->attempts; attempt++) {
        error = request(server, offset, buffer, size, false);
        if (error == 0 || error == ENOMEM) {
            break;
        }
    }
    return error;
}

/* The size that the server says, or a negative number. */
static int64_t size_of(struct server *server)
{
    curl_off_t size = -1;
    long status = 0;
    CURL *curl = connect_to(server);
    if (curl == NULL) {
        return -1;
    }
    (void)curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    const CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_OK) {
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
        (void)curl_easy_getinfo(curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &size);
    }
    if (status != 200 || size < 0) {
        fprintf(stderr, "http: the size of %s: status %ld, %s\n", server->url, status, curl_easy_strerror(code));
        size = -1;
    }
    curl_easy_cleanup(curl);
    return size;
}

/* Says why, if it is an error. */
static bool done(const char *what, atlas_status status)
{
    if (status != ATLAS_STATUS_OK) {
        fprintf(stderr, "http: %s: %s: %s\n", what, atlas_status_name((int32_t)status), atlas_last_error_message());
    }
    return status == ATLAS_STATUS_OK;
}

static bool make(const char *outline, const atlas_source *url, const atlas_operation *operation)
{
    atlas_container *container = NULL;
    atlas_container_create_options create;
    atlas_container_create_options_init(&create);
    create.base = url;
    create.keep_chains = 1; /* ranges of 16 KiB are fetched, instead of MiB */
    if (!done(outline, atlas_container_create(outline, ATLAS_PROJECTION_LINEAR, NULL, &create, operation, &container))) {
        return false;
    }
    const bool well = done("importing", atlas_container_import(container, url, NULL, 0, NULL, operation, NULL));
    atlas_container_destroy(container);
    if (!well) {
        (void)remove(outline);
    }
    return well;
}

struct repairs {
    uint64_t ranges, bytes, lost;
};

static bool each_range(const atlas_damage *damage, void *user_data)
{
    struct repairs *repairs = user_data;
    if (damage->repairable != 0) {
        repairs->ranges++;
        repairs->bytes += damage->length;
    } else {
        repairs->lost++;
    }
    return true;
}

static bool repair(const char *outline, const char *path, struct server *server, const atlas_operation *operation)
{
    atlas_container *container = NULL;
    atlas_source *url = NULL;
    atlas_projection *projection = NULL;
    atlas_container_info info = {.struct_size = sizeof info};
    struct repairs repairs = {0};
    bool well = done(outline, atlas_container_open(outline, ATLAS_CONTAINER_READ, NULL, NULL, operation, &container)) &&
                done(outline, atlas_container_get_info(container, &info)) &&
                /* The size is that of the outline: the size that the server states does not matter. */
                done("the URL", atlas_source_from_callback(info.base_size, read_at, NULL, server, &url)) &&
                done("the base", atlas_container_set_base(container, url)) &&
                done(outline, atlas_container_snapshot(container, 0, 0, operation, &projection));
    if (well) {
        well = done(path, atlas_projection_repair_file(projection, path, NULL, 0, each_range, &repairs, operation));
        printf("%" PRIu64 " ranges of %" PRIu64 " bytes are repaired, %" PRIu64 " are not\n", repairs.ranges,
            repairs.bytes, repairs.lost);
    }
    atlas_projection_destroy(projection);
    atlas_container_destroy(container);
    atlas_source_destroy(url);
    return well;
}

static bool run(int count, char **words, struct server *server, const atlas_operation *operation)
{
    if (count == 4 && strcmp(words[0], "repair") == 0) {
        return repair(words[2], words[3], server, operation);
    }
    const int64_t size = size_of(server);
    atlas_source *url = NULL;
    if (size < 0 || !done("the URL", atlas_source_from_callback((uint64_t)size, read_at, NULL, server, &url))) {
        return false;
    }
    const bool well = make(words[2], url, operation);
    atlas_source_destroy(url);
    return well;
}

int main(int argc, char **argv)
{
    struct server server = {.timeout = 30, .attempts = 3, .lock = PTHREAD_MUTEX_INITIALIZER};
    long threads = 16;
    int at = 1;
    for (; at + 1 < argc && strncmp(argv[at], "--", 2) == 0; at += 2) {
        const long value = strtol(argv[at + 1], NULL, 10);
        if (value < 1 || value > MOST_THREADS) {
            fprintf(stderr, "http: %s %s is outside 1..=%d\n", argv[at], argv[at + 1], MOST_THREADS);
            return 2;
        }
        if (strcmp(argv[at], "--threads") == 0) {
            threads = value;
        } else if (strcmp(argv[at], "--timeout") == 0) {
            server.timeout = value;
        } else if (strcmp(argv[at], "--attempts") == 0) {
            server.attempts = (int)value;
        } else {
            break;
        }
    }
    char **words = argv + at;
    const int count = argc - at;
    const bool is_repair = count == 4 && strcmp(words[0], "repair") == 0;
    if (!is_repair && !(count == 3 && strcmp(words[0], "make") == 0)) {
        fprintf(stderr, "usage: http [--threads N] [--timeout SECONDS] [--attempts N] make URL OUTLINE | repair URL OUTLINE FILE\n");
        return 2;
    }
    server.url = words[1];
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
        return 1;
    }
    atlas_pool *pool = NULL;
    atlas_operation operation;
    atlas_operation_init(&operation);
    bool well = done("threads", atlas_pool_create((uint32_t)threads, &pool));
    operation.pool = pool;
    well = well && run(count, words, &server, &operation);
    printf("%d requests, at most %d at a time, %" PRIu64 " bytes\n", server.requests, server.most, server.bytes);
    if (server.error[0] != '\0') {
        fprintf(stderr, "http: the first request that failed: %s\n", server.error);
    }
    atlas_pool_destroy(pool);
    while (server.idle_count > 0) {
        curl_easy_cleanup(server.idle[--server.idle_count]);
    }
    curl_global_cleanup();
    return well ? 0 : 1;
}
