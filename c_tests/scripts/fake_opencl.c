/* libOpenCL.so.1 of api_accelerator_faults.c and api_accelerator_loaders.c: hands every call on to the system's loader,
 * and fails one of them.
 *
 * The first call that fails is number `fake_fails_at`, from 1; with `fake_goes_on` all later ones fail too, as those of a
 * lost device do. Objects are counted, so that a leak shows, and results can be falsified. Drivers can be missing or
 * broken, and kernels too. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Set by the test, and read by it. */
atomic_uint fake_calls, fake_fails_at, fake_lie_at;
atomic_bool fake_goes_on;
atomic_int fake_status = -36; /* CL_INVALID_COMMAND_QUEUE, any code */
atomic_int fake_objects;      /* made or retained, and not released */
atomic_uint fake_reads;
atomic_bool fake_no_binary;       /* the code of a compiled program cannot be had */
atomic_bool fake_wrong_kernels;   /* another text is compiled, which is no program */
atomic_bool fake_no_platforms;    /* there is no driver */
atomic_bool fake_broken_platform; /* the first driver fails at everything */
atomic_uint fake_compilations;
atomic_ullong fake_allocated; /* bytes of all buffers that were made */

static void *real(const char *name)
{
    static void *_Atomic library;
    void *opened = atomic_load(&library);
    if (opened == NULL) {
        const char *path = getenv("ATLAS_REAL_OPENCL");
        opened = dlopen(path != NULL ? path : "", RTLD_NOW | RTLD_LOCAL);
        if (opened == NULL) {
            abort();
        }
        atomic_store(&library, opened);
    }
    return dlsym(opened, name);
}

/* Counts a call, and returns whether it fails. */
static bool fails(void)
{
    const unsigned at = atomic_load(&fake_fails_at), now = atomic_fetch_add(&fake_calls, 1) + 1;
    return at != 0 && (now == at || (now > at && atomic_load(&fake_goes_on)));
}

/* A function that returns a status. */
#define STATUS(name, parameters, arguments)                  \
    int32_t name parameters;                                 \
    int32_t name parameters                                  \
    {                                                        \
        int32_t (*call) parameters = NULL;                   \
        void *symbol = real(#name);                          \
        memcpy(&call, &symbol, sizeof symbol);               \
        return fails() ? atomic_load(&fake_status) : call arguments; \
    }

/* A function that makes an object, and stores a status in its last argument. */
#define MAKE(name, parameters, arguments)          \
    void *name parameters;                         \
    void *name parameters                          \
    {                                              \
        void *(*call) parameters = NULL;           \
        void *symbol = real(#name), *made = NULL;  \
        memcpy(&call, &symbol, sizeof symbol);     \
        if (fails()) {                             \
            *status = atomic_load(&fake_status);   \
            return NULL;                           \
        }                                          \
        made = call arguments;                     \
        atomic_fetch_add(&fake_objects, made != NULL); \
        return made;                               \
    }

/* A function that takes or gives back a reference. A release that fails has happened nevertheless. */
#define COUNT(name, difference)                                           \
    int32_t name(void *object);                                           \
    int32_t name(void *object)                                            \
    {                                                                     \
        int32_t (*call)(void *) = NULL;                                   \
        void *symbol = real(#name);                                       \
        const bool failing = fails();                                     \
        memcpy(&call, &symbol, sizeof symbol);                            \
        if (failing && (difference) > 0) {                                \
            return atomic_load(&fake_status);                             \
        }                                                                 \
        const int32_t status = call(object);                              \
        atomic_fetch_add(&fake_objects, status == 0 ? (difference) : 0);  \
        return failing ? atomic_load(&fake_status) : status;              \
    }

/* A function that enqueues a command, whose event is its last argument. */
#define ENQUEUE(name, parameters, arguments)                              \
    int32_t name parameters;                                              \
    int32_t name parameters                                               \
    {                                                                     \
        int32_t (*call) parameters = NULL;                                \
        void *symbol = real(#name);                                       \
        memcpy(&call, &symbol, sizeof symbol);                            \
        if (fails()) {                                                    \
            return atomic_load(&fake_status);                             \
        }                                                                 \
        const int32_t status = call arguments;                            \
        atomic_fetch_add(&fake_objects, status == 0 && event != NULL);    \
        return status;                                                    \
    }

typedef void *handle;

/* Looks a function of the system's loader up. */
#define REAL(call, name)                       \
    do {                                       \
        void *symbol = real(name);             \
        memcpy(&(call), &symbol, sizeof symbol); \
    } while (0)

/* The broken platform: no object of any driver. */
static char broken;

int32_t clGetPlatformIDs(uint32_t room, handle *platforms, uint32_t *count);
int32_t clGetPlatformIDs(uint32_t room, handle *platforms, uint32_t *count)
{
    int32_t (*call)(uint32_t, handle *, uint32_t *) = NULL;
    const bool has_broken = atomic_load(&fake_broken_platform);
    REAL(call, "clGetPlatformIDs");
    if (fails()) {
        return atomic_load(&fake_status);
    }
    if (atomic_load(&fake_no_platforms)) {
        return -1001; /* CL_PLATFORM_NOT_FOUND_KHR */
    }
    if (!has_broken) {
        return call(room, platforms, count);
    }
    if (platforms != NULL && room > 0) {
        platforms[0] = &broken;
    }
    const int32_t status = room > 1 ? call(room - 1, platforms + 1, count)
                                    : call(0, NULL, count); /* asks for the number alone */
    if (count != NULL) {
        (*count)++;
    }
    return status;
}

int32_t clGetPlatformInfo(handle a, uint32_t b, size_t c, void *d, size_t *e);
int32_t clGetPlatformInfo(handle a, uint32_t b, size_t c, void *d, size_t *e)
{
    int32_t (*call)(handle, uint32_t, size_t, void *, size_t *) = NULL;
    REAL(call, "clGetPlatformInfo");
    return fails() || a == &broken ? atomic_load(&fake_status) : call(a, b, c, d, e);
}

int32_t clGetDeviceIDs(handle a, uint64_t b, uint32_t c, handle *d, uint32_t *e);
int32_t clGetDeviceIDs(handle a, uint64_t b, uint32_t c, handle *d, uint32_t *e)
{
    int32_t (*call)(handle, uint64_t, uint32_t, handle *, uint32_t *) = NULL;
    REAL(call, "clGetDeviceIDs");
    return fails() || a == &broken ? atomic_load(&fake_status) : call(a, b, c, d, e);
}

STATUS(clGetDeviceInfo, (handle a, uint32_t b, size_t c, void *d, size_t *e), (a, b, c, d, e))
COUNT(clRetainDevice, 1)
COUNT(clReleaseDevice, -1)
MAKE(clCreateContext, (const intptr_t *a, uint32_t b, const handle *c, void *d, void *e, int32_t *status),
     (a, b, c, d, e, status))
STATUS(clGetContextInfo, (handle a, uint32_t b, size_t c, void *d, size_t *e), (a, b, c, d, e))
COUNT(clRetainContext, 1)
COUNT(clReleaseContext, -1)
MAKE(clCreateCommandQueue, (handle a, handle b, uint64_t c, int32_t *status), (a, b, c, status))
COUNT(clReleaseCommandQueue, -1)

void *clCreateBuffer(handle a, uint64_t b, size_t size, void *c, int32_t *status);
void *clCreateBuffer(handle a, uint64_t b, size_t size, void *c, int32_t *status)
{
    void *(*call)(handle, uint64_t, size_t, void *, int32_t *) = NULL;
    REAL(call, "clCreateBuffer");
    if (fails()) {
        *status = atomic_load(&fake_status);
        return NULL;
    }
    void *made = call(a, b, size, c, status);
    atomic_fetch_add(&fake_objects, made != NULL);
    atomic_fetch_add(&fake_allocated, made != NULL ? size : 0);
    return made;
}

COUNT(clRetainMemObject, 1)
COUNT(clReleaseMemObject, -1)
STATUS(clGetMemObjectInfo, (handle a, uint32_t b, size_t c, void *d, size_t *e), (a, b, c, d, e))

void *clCreateProgramWithSource(handle a, uint32_t b, const char **text, const size_t *size, int32_t *status);
void *clCreateProgramWithSource(handle a, uint32_t b, const char **text, const size_t *size, int32_t *status)
{
    void *(*call)(handle, uint32_t, const char **, const size_t *, int32_t *) = NULL;
    const char *wrong = "no_such_type x;";
    const size_t length = strlen(wrong);
    const bool is_wrong = atomic_load(&fake_wrong_kernels);
    REAL(call, "clCreateProgramWithSource");
    atomic_fetch_add(&fake_compilations, 1);
    if (fails()) {
        *status = atomic_load(&fake_status);
        return NULL;
    }
    void *made = call(a, b, is_wrong ? &wrong : text, is_wrong ? &length : size, status);
    atomic_fetch_add(&fake_objects, made != NULL);
    return made;
}

MAKE(clCreateProgramWithBinary,
     (handle a, uint32_t b, const handle *c, const size_t *d, const uint8_t **e, int32_t *f, int32_t *status),
     (a, b, c, d, e, f, status))
STATUS(clBuildProgram, (handle a, uint32_t b, const handle *c, const char *d, void *e, void *f), (a, b, c, d, e, f))

int32_t clGetProgramInfo(handle a, uint32_t name, size_t size, void *value, size_t *length);
int32_t clGetProgramInfo(handle a, uint32_t name, size_t size, void *value, size_t *length)
{
    int32_t (*call)(handle, uint32_t, size_t, void *, size_t *) = NULL;
    REAL(call, "clGetProgramInfo");
    if (fails()) {
        return atomic_load(&fake_status);
    }
    const int32_t status = call(a, name, size, value, length);
    /* CL_PROGRAM_BINARY_SIZES */
    if (status == 0 && name == 0x1165 && value != NULL && atomic_load(&fake_no_binary)) {
        memset(value, 0, size);
    }
    return status;
}

STATUS(clGetProgramBuildInfo, (handle a, handle b, uint32_t c, size_t d, void *e, size_t *f), (a, b, c, d, e, f))
COUNT(clReleaseProgram, -1)
MAKE(clCreateKernel, (handle a, const char *b, int32_t *status), (a, b, status))
STATUS(clGetKernelWorkGroupInfo, (handle a, handle b, uint32_t c, size_t d, void *e, size_t *f), (a, b, c, d, e, f))
COUNT(clReleaseKernel, -1)
STATUS(clSetKernelArg, (handle a, uint32_t b, size_t c, const void *d), (a, b, c, d))
ENQUEUE(clEnqueueNDRangeKernel,
        (handle a, handle b, uint32_t c, const size_t *d, const size_t *e, const size_t *f, uint32_t g, const handle *h,
         handle *event),
        (a, b, c, d, e, f, g, h, event))
ENQUEUE(clEnqueueWriteBuffer,
        (handle a, handle b, uint32_t c, size_t d, size_t e, const void *f, uint32_t g, const handle *h, handle *event),
        (a, b, c, d, e, f, g, h, event))
ENQUEUE(clEnqueueCopyBuffer,
        (handle a, handle b, handle c, size_t d, size_t e, size_t f, uint32_t g, const handle *h, handle *event),
        (a, b, c, d, e, f, g, h, event))
STATUS(clFlush, (handle a), (a))
STATUS(clFinish, (handle a), (a))
STATUS(clWaitForEvents, (uint32_t a, const handle *b), (a, b))
STATUS(clGetEventInfo, (handle a, uint32_t b, size_t c, void *d, size_t *e), (a, b, c, d, e))
COUNT(clReleaseEvent, -1)

/* Reads results, one of which is false. */
int32_t clEnqueueReadBuffer(handle a, handle b, uint32_t c, size_t d, size_t e, void *f, uint32_t g, const handle *h,
                            handle *event);
int32_t clEnqueueReadBuffer(handle a, handle b, uint32_t c, size_t d, size_t e, void *f, uint32_t g, const handle *h,
                            handle *event)
{
    int32_t (*call)(handle, handle, uint32_t, size_t, size_t, void *, uint32_t, const handle *, handle *) = NULL;
    void *symbol = real("clEnqueueReadBuffer");
    const unsigned lie_at = atomic_load(&fake_lie_at);
    memcpy(&call, &symbol, sizeof symbol);
    if (fails()) {
        return atomic_load(&fake_status);
    }
    const bool lies = lie_at != 0 && atomic_fetch_add(&fake_reads, 1) + 1 >= lie_at;
    /* A lie is told at once. */
    const int32_t status = call(a, b, lies ? 1 : c, d, e, f, g, h, event);
    if (status == 0 && lies) {
        ((uint8_t *)f)[1] ^= 4;
    }
    atomic_fetch_add(&fake_objects, status == 0 && event != NULL);
    return status;
}
