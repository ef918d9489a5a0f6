/* The POSIX calls of the C tests that MinGW's C library lacks. check.h includes it on Windows. Names of files are UTF-8
 * there only for a program with mingw.manifest. */
#ifndef ATLAS_MINGW_TESTS_H
#define ATLAS_MINGW_TESTS_H

#include <io.h>

#define lstat stat

/* The system's number for a file that is there already, ERROR_FILE_EXISTS. */
#define FILE_EXISTS 80
/* Its number for a file in a folder that is missing, ERROR_PATH_NOT_FOUND. */
#define FOLDER_MISSING 3
/* The library writes no container on Windows, and wine 8 gives no file the name of a file that is open. */
enum { WRITES_CONTAINERS = false, REPLACES_OPEN_FILES = false };

/* A program of POSIX expects that open() changes no line ends. */
__attribute__((constructor)) static void open_binary(void) { _fmode = _O_BINARY; }

static inline char *mkdtemp(char *path)
{
    return mktemp(path) != NULL && mkdir(path) == 0 ? path : NULL;
}

/* Unlike those of POSIX, these two move the file's offset, which no test of Windows looks at. */
static inline ssize_t pread(int file, void *data, size_t size, off_t offset)
{
    return lseek(file, offset, SEEK_SET) == offset ? read(file, data, (unsigned)size) : -1;
}

static inline ssize_t pwrite(int file, const void *data, size_t size, off_t offset)
{
    return lseek(file, offset, SEEK_SET) == offset ? write(file, data, (unsigned)size) : -1;
}

/* That of Windows returns 0. */
static inline int dup2_of_posix(int file, int copy) { return dup2(file, copy) == 0 ? copy : -1; }
#define dup2 dup2_of_posix

/* Windows has no /proc, where the tests read links. */
static inline ssize_t readlink(const char *path, char *target, size_t size)
{
    (void)path, (void)target, (void)size;
    return -1;
}

#endif
