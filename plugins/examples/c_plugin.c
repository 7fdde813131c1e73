/* A plugin in C, as a dynamic library: an address manager of one pool.
 *
 *     cc -shared -fPIC -I plugins/include -o one.so plugins/examples/c_plugin.c
 */
#include <stdlib.h>
#include <string.h>

#include "trestle_plugin.h"

/* Tests build this file as libraries that are wrong in one way. */
#ifndef MAGIC
#define MAGIC TRESTLE_PLUGIN_MAGIC
#endif
#ifndef MAJOR
#define MAJOR TRESTLE_PLUGIN_MAJOR
#endif
#ifndef SIZE
#define SIZE sizeof(struct trestle_plugin)
#endif
#ifndef ENTRY
#define ENTRY trestle_plugin_v1
#endif
#ifndef ACTIVATE
#define ACTIVATE "{\"Implements\": [\"IpamDriver\"]}"
#endif

static const struct {
    const char *method;
    const char *reply;
} replies[] = {
    {"Plugin.Activate", ACTIVATE},
    {"IpamDriver.GetDefaultAddressSpaces", "{\"LocalDefaultAddressSpace\": \"one\"}"},
    {"IpamDriver.RequestPool", "{\"PoolID\": \"one\", \"Pool\": \"198.18.1.0/24\"}"},
    {"IpamDriver.RequestAddress", "{\"Address\": \"198.18.1.1/24\"}"},
    {"IpamDriver.ReleaseAddress", "{}"},
    {"IpamDriver.ReleasePool", "{}"},
};

static int32_t call(const char *method, const uint8_t *request, size_t length, struct trestle_plugin_bytes *answer)
{
    (void)request;
    (void)length;
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        if (strcmp(method, replies[i].method) == 0) {
            answer->length = strlen(replies[i].reply);
            answer->data = malloc(answer->length);
            if (answer->data == NULL)
                return TRESTLE_PLUGIN_BROKEN;
            memcpy(answer->data, replies[i].reply, answer->length);
            return TRESTLE_PLUGIN_ANSWERED;
        }
    }
    return TRESTLE_PLUGIN_UNKNOWN;
}

static void release(struct trestle_plugin_bytes *answer)
{
    free(answer->data);
    answer->data = NULL;
}

static const struct trestle_plugin table = {MAGIC, SIZE, MAJOR, TRESTLE_PLUGIN_MINOR, call, release};

const struct trestle_plugin *ENTRY(void)
{
    return &table;
}
