/* A Trestle plugin as a dynamic library.
 *
 * The library exports one function, trestle_plugin_v1, which answers with a table that stays as it is as long as the
 * process lives; the library is never unloaded. Requests and answers are the bodies of Docker's plugin protocol, in
 * JSON: what would be POSTed to /NetworkDriver.Join comes as call("NetworkDriver.Join", ...).
 *
 * The file has to belong to root, or to the user that trestled runs as, and nobody else may write to it.
 */
#ifndef TRESTLE_PLUGIN_H
#define TRESTLE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "TRESTLE1", read as a little-endian number. */
#define TRESTLE_PLUGIN_MAGIC UINT64_C(0x31454C5453455254)

/* A table of another major version is refused. A larger minor version has more fields at its end. */
#define TRESTLE_PLUGIN_MAJOR 1
#define TRESTLE_PLUGIN_MINOR 0

/* What call answers. */
#define TRESTLE_PLUGIN_ANSWERED 0 /* the answer is JSON; a refusal too: {"Err": "why"} */
#define TRESTLE_PLUGIN_UNKNOWN 1  /* there is no such method */
#define TRESTLE_PLUGIN_BROKEN 2   /* the answer is a text that says what went wrong */

/* Bytes that the plugin has allocated, and frees when release is called. */
struct trestle_plugin_bytes {
    uint8_t *data;
    size_t length;
};

struct trestle_plugin {
    uint64_t magic; /* TRESTLE_PLUGIN_MAGIC */
    uint32_t size;  /* sizeof(struct trestle_plugin) */
    uint16_t major; /* TRESTLE_PLUGIN_MAJOR */
    uint16_t minor; /* TRESTLE_PLUGIN_MINOR */

    /* Answers one call. The method ends with a NUL; the request may be empty. It is called by any thread, and by
     * several at once. It does not keep the request. */
    int32_t (*call)(const char *method, const uint8_t *request, size_t length, struct trestle_plugin_bytes *answer);

    /* Frees an answer. Called once after each call, whatever it answered. */
    void (*release)(struct trestle_plugin_bytes *answer);
};

const struct trestle_plugin *trestle_plugin_v1(void);

#ifdef __cplusplus
}
#endif
#endif
