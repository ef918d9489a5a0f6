/* The part of OpenCL 1.2 that the tests of accelerators use, looked up in the system's loader. */
#ifndef ATLAS_TESTS_OPENCL_H
#define ATLAS_TESTS_OPENCL_H

#include <dlfcn.h>

/* A function of a library as a function, since C has no cast for that. */
#define LOOK_UP(library, function, name)                            \
    do {                                                            \
        void *symbol = dlsym(library, name);                        \
        CHECK(symbol != NULL);                                      \
        memcpy(&(function), &symbol, sizeof symbol);                \
    } while (0)

enum { CL_WRITE_ONLY = 2, CL_READ_ONLY = 4, CL_COPY = 32, CL_NO_ACCESS = 512 };

/* The first device of the first platform, in a context. */
typedef struct opencl {
    void *library, *platform, *device, *context;
    int32_t (*devices)(void *, uint64_t, uint32_t, void **, uint32_t *);
    void *(*create_context)(const intptr_t *, uint32_t, void *const *, void *, void *, int32_t *);
    int32_t (*release_context)(void *);
    void *(*create_buffer)(void *, uint64_t, size_t, void *, int32_t *);
    int32_t (*release_buffer)(void *);
} opencl;

static inline void *new_context(const opencl *cl)
{
    int32_t status = -1;
    void *context = cl->create_context(NULL, 1, &cl->device, NULL, NULL, &status);
    CHECK(status == 0 && context != NULL);
    return context;
}

/* The device of a loader. Skips the program without one. */
static inline opencl open_opencl_of(const char *loader)
{
    opencl cl = {.library = dlopen(loader, RTLD_NOW)};
    int32_t (*platforms)(uint32_t, void **, uint32_t *) = NULL;
    uint32_t count = 0;
    if (cl.library == NULL) {
        skip("no libOpenCL.so.1 (Debian: ocl-icd-libopencl1)");
    }
    LOOK_UP(cl.library, platforms, "clGetPlatformIDs");
    LOOK_UP(cl.library, cl.devices, "clGetDeviceIDs");
    LOOK_UP(cl.library, cl.create_context, "clCreateContext");
    LOOK_UP(cl.library, cl.release_context, "clReleaseContext");
    LOOK_UP(cl.library, cl.create_buffer, "clCreateBuffer");
    LOOK_UP(cl.library, cl.release_buffer, "clReleaseMemObject");
    if (platforms(1, &cl.platform, &count) != 0 || count == 0 ||
        cl.devices(cl.platform, UINT64_C(0xFFFFFFFF), 1, &cl.device, &count) != 0 || count == 0) {
        skip("no OpenCL device (Debian: pocl-opencl-icd)");
    }
    cl.context = new_context(&cl);
    return cl;
}

/* The first two devices of the platform. Returns how many there are of them. */
static inline uint32_t devices_of(const opencl *cl, void *devices[2])
{
    uint32_t count = 0;
    CHECK(cl->devices(cl->platform, UINT64_C(0xFFFFFFFF), 2, devices, &count) == 0 && count > 0);
    return count < 2 ? 1 : 2;
}

static inline opencl open_opencl(void) { return open_opencl_of("libOpenCL.so.1"); }

/* A buffer with these bytes. */
static inline void *new_buffer(const opencl *cl, uint64_t flags, const void *data, size_t size)
{
    int32_t status = -1;
    union {
        const void *in;
        void *out;
    } bytes = {data};
    void *buffer = cl->create_buffer(cl->context, flags | (data != NULL ? CL_COPY : 0), size, bytes.out, &status);
    CHECK(status == 0 && buffer != NULL);
    return buffer;
}

#endif
