/* Calls functions of the host. One that ends its thread (pthread_exit, a cancellation, an interpreter that is shutting
 * down) unwinds the stack, and no frame of Rust may be unwound so. It is stopped here, where the frames above are the
 * host's alone, and the call fails. */
#ifndef _XOPEN_SOURCE
#define _XOPEN_SOURCE 700
#endif

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef int (*read_at_fn)(void *user_data, uint64_t offset, void *buffer, size_t size);
typedef bool (*report_fn)(const void *report, void *user_data);
typedef void (*release_fn)(void *user_data);

int atlas_callback_read(read_at_fn call, void *user_data, uint64_t offset, void *buffer, size_t size);
bool atlas_callback_report(report_fn call, const void *report, void *user_data);
void atlas_callback_release(release_fn call, void *user_data);
int atlas_callback_no_cancellation(void);
void atlas_callback_restore(int state);

/* ThreadSanitizer in the host knows nothing of the order that the library's threads keep, unless the library is
 * instrumented as well. Two facts make it right about functions of the host: what a thread did before it called the
 * library comes before a callback, and what a callback did comes before the end of a call. Callbacks are in no order
 * among each other. Without the sanitizer both names are NULL. */
#if defined(__SANITIZE_THREAD__)
#define INSTRUMENTED
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define INSTRUMENTED
#endif
#endif
#if defined(__ELF__) && defined(__GNUC__) && !defined(INSTRUMENTED)
extern void __tsan_acquire(void *address) __attribute__((weak));
extern void __tsan_release(void *address) __attribute__((weak));
static char calls, callbacks;
#define BEFORE(side) ((void)(__tsan_release != NULL ? __tsan_release(&(side)) : (void)0))
#define AFTER(side) ((void)(__tsan_acquire != NULL ? __tsan_acquire(&(side)) : (void)0))
#else
#define BEFORE(side) ((void)0)
#define AFTER(side) ((void)0)
#endif

/* A name of the crate blake3, which the shared library would export there: a reference hides it. */
#if defined(__aarch64__) && defined(__ELF__) && defined(__GNUC__)
extern void blake3_compress_in_place_portable(void) __attribute__((weak, visibility("hidden")));
static void (*const hidden)(void) __attribute__((used)) = blake3_compress_in_place_portable;
#endif

static void land(void *landing)
{
    siglongjmp(*(sigjmp_buf *)landing, 1);
}

/* Statements between the two run once. The end of the thread there goes on behind the second. */
#define GUARDED_BEGIN                              \
    sigjmp_buf landing;                            \
    AFTER(calls);                                  \
    pthread_cleanup_push(land, (void *)&landing);  \
    if (sigsetjmp(landing, 0) == 0) {
#define GUARDED_END           \
    }                         \
    pthread_cleanup_pop(0);   \
    BEFORE(callbacks)

int atlas_callback_read(read_at_fn call, void *user_data, uint64_t offset, void *buffer, size_t size)
{
    volatile int result = ECANCELED;
    GUARDED_BEGIN
    result = call(user_data, offset, buffer, size);
    GUARDED_END;
    return result;
}

bool atlas_callback_report(report_fn call, const void *report, void *user_data)
{
    volatile bool go_on = false;
    GUARDED_BEGIN
    go_on = call(report, user_data);
    GUARDED_END;
    return go_on;
}

void atlas_callback_release(release_fn call, void *user_data)
{
    GUARDED_BEGIN
    call(user_data);
    GUARDED_END;
}

/* The begin of each call: puts off a cancellation of the calling thread, and returns the argument of
 * atlas_callback_restore(), which is the end. */
int atlas_callback_no_cancellation(void)
{
    int before = PTHREAD_CANCEL_DISABLE;
    BEFORE(calls);
    (void)pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

void atlas_callback_restore(int state)
{
    int unused;
    AFTER(callbacks);
    (void)pthread_setcancelstate(state, &unused);
}
