/* The last error is the calling thread's own, and every error has a text. */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <string.h>

#include "atlas_conservation.h"
#include "check.h"

static void *other_thread(void *unused)
{
    (void)unused;
    CHECK(atlas_get_last_error() == ATLAS_OK);
    CHECK(!atlas_budget_alloc(NULL, 1));
    CHECK(atlas_get_last_error() == ATLAS_E_INVALID);
    return NULL;
}

static void threads_have_errors_of_their_own(void)
{
    const uint8_t byte = 1;
    pthread_t thread;
    CHECK_GIVES(false, atlas_conserved_check(&byte, 1), ATLAS_E_CONSERVATION);
    CHECK(pthread_create(&thread, NULL, other_thread, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(atlas_get_last_error() == ATLAS_E_CONSERVATION);
}

static void success_clears_the_error(void)
{
    CHECK_GIVES(0, atlas_conserved_sum(NULL, 1), ATLAS_E_INVALID);
    CHECK_GIVES(true, atlas_runtime_is_thread_safe(), ATLAS_OK);
    CHECK_GIVES(0, atlas_conserved_sum(NULL, 1), ATLAS_E_INVALID);
    atlas_domain_destroy(NULL);
    CHECK(atlas_get_last_error() == ATLAS_OK);
    CHECK_GIVES(0, atlas_conserved_sum(NULL, 1), ATLAS_E_INVALID);
    atlas_witness_destroy(NULL);
    CHECK(atlas_get_last_error() == ATLAS_OK);
}

static void texts_begin_with_the_class(void)
{
    static const char *const classes[] = {"Success", "Invalid argument", "Out of memory",
                                          "Invalid state", "Budget exceeded",
                                          "Conservation violated", "Witness mismatch", "Destroyed"};
    for (int error = ATLAS_OK; error <= ATLAS_E_DESTROYED; error++) {
        const char *const begins = classes[error];
        CHECK(strncmp(atlas_error_string((atlas_error_t)error), begins, strlen(begins)) == 0);
    }
}

static void errors_have_different_texts(void)
{
    CHECK_GIVES(0, atlas_conserved_sum(NULL, 1), ATLAS_E_INVALID);
    const char *const unknown = atlas_error_string((atlas_error_t)99);
    CHECK(unknown != NULL && unknown[0] != '\0');
    for (int a = ATLAS_OK; a <= ATLAS_E_DESTROYED; a++) {
        const char *const text = atlas_error_string((atlas_error_t)a);
        CHECK(text != NULL && text[0] != '\0' && strcmp(text, unknown) != 0);
        for (int b = ATLAS_OK; b < a; b++) {
            CHECK(strcmp(text, atlas_error_string((atlas_error_t)b)) != 0);
        }
    }
    CHECK(atlas_error_string((atlas_error_t)-1) != NULL);
    CHECK(atlas_get_last_error() == ATLAS_E_INVALID);
}

int main(void)
{
    CHECK(atlas_get_last_error() == ATLAS_OK);
    texts_begin_with_the_class();
    threads_have_errors_of_their_own();
    success_clears_the_error();
    errors_have_different_texts();
    return 0;
}
