/* libOpenCL.so.1 of api_accelerator_faults.c: hands every call on to the system's loader, and fails one of them.
 *
 * The first call that fails is number `fake_fails_at`, from 1; with `fake_goes_on` all later ones fail too, as those of a
 * lost device do. Objects are counted, so that a leak shows, and results can be falsified. */
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

STATUS(clGetPlatformIDs, (uint32_t a, handle *b, uint32_t *c), (a, b, c))
STATUS(clGetPlatformInfo, (handle a, uint32_t b, size_t c, void *d, size_t *e), (a, b, c, d, e))
STATUS(clGetDeviceIDs, (handle a, uint64_t b, uint32_t c, handle *d, uint32_t *e), (a, b, c, d, e))
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
MAKE(clCreateBuffer, (handle a, uint64_t b, size_t c, void *d, int32_t *status), (a, b, c, d, status))
COUNT(clRetainMemObject, 1)
COUNT(clReleaseMemObject, -1)
STATUS(clGetMemObjectInfo, (handle a, uint32_t b, size_t c, void *d, size_t *e), (a, b, c, d, e))
MAKE(clCreateProgramWithSource, (handle a, uint32_t b, const char **c, const size_t *d, int32_t *status),
     (a, b, c, d, status))
MAKE(clCreateProgramWithBinary,
     (handle a, uint32_t b, const handle *c, const size_t *d, const uint8_t **e, int32_t *f, int32_t *status),
     (a, b, c, d, e, f, status))
STATUS(clBuildProgram, (handle a, uint32_t b, const handle *c, const char *d, void *e, void *f), (a, b, c, d, e, f))
STATUS(clGetProgramInfo, (handle a, uint32_t b, size_t c, void *d, size_t *e), (a, b, c, d, e))
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
