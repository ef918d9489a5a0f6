/* The one function of bcryptprimitives.dll that Rust's standard library calls, for wine, which lacks that library. */
#include <windows.h>

#include <ntsecapi.h>

__declspec(dllexport) BOOL WINAPI ProcessPrng(unsigned char *bytes, SIZE_T size)
{
    while (size > 0) {
        const ULONG part = size < 65536 ? (ULONG)size : 65536;
        if (!RtlGenRandom(bytes, part)) {
            return FALSE;
        }
        bytes += part;
        size -= part;
    }
    return TRUE;
}
