/* Calls functions of the host. A function that ends its thread (by pthread_exit, by a cancellation, or because an
 * interpreter shuts down) unwinds the stack, and frames of Rust must not be unwound in this way. The unwinding stops
 * in this file, where all unwound frames belong to the host, and the call fails. */
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

/* If only the host is instrumented, ThreadSanitizer does not see the synchronisation inside the library. Two facts are
 * enough for correct reports about functions of the host: the actions of a thread before it called the library come
 * before a callback, and the actions of a callback come before the end of a call. Callbacks have no order among each
 * other, unless the library gives memory that one of them has filled to another one. Without the sanitizer both functions
 * below are NULL. */
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
/* Tells about each page of a buffer, because two buffers in the same memory may begin at different places. */
static void tell_pages(void (*tell)(void *address), void *buffer, size_t size)
{
    const uintptr_t page = 4096, start = (uintptr_t)buffer;
    for (uintptr_t at = start / page * page; tell != NULL && at < start + size; at += page) {
        tell((void *)at);
    }
}
#define BEFORE_PAGES(buffer, size) tell_pages(__tsan_release, buffer, size)
#define AFTER_PAGES(buffer, size) tell_pages(__tsan_acquire, buffer, size)
#else
#define BEFORE(side) ((void)0)
#define AFTER(side) ((void)0)
#define BEFORE_PAGES(buffer, size) ((void)0)
#define AFTER_PAGES(buffer, size) ((void)0)
#endif

/* On AArch64 the shared library would export this function of the crate blake3: a hidden reference prevents that. */
#if defined(__aarch64__) && defined(__ELF__) && defined(__GNUC__)
extern void blake3_compress_in_place_portable(void) __attribute__((weak, visibility("hidden")));
static void (*const hidden)(void) __attribute__((used)) = blake3_compress_in_place_portable;
#endif

static void land(void *landing)
{
    siglongjmp(*(sigjmp_buf *)landing, 1);
}

/* The statements between the two macros run once. If they end the thread, execution continues after GUARDED_END. */
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
    AFTER_PAGES(buffer, size);
    GUARDED_BEGIN
    result = call(user_data, offset, buffer, size);
    GUARDED_END;
    BEFORE_PAGES(buffer, size);
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

/* Begins each call of the library: delays a cancellation of the calling thread. The call ends with
 * atlas_callback_restore(), whose argument is the result of this function. */
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
