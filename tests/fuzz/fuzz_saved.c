/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * A snapshot of any content: it is refused, or what it hands out lies inside it
 * and is as much as it says.  The first byte tells whether magic, size and
 * checksum are made good, so that what lies behind them is reached.
 */
#include "../../nss/watcher/saved.h"
#include "fuzz.h"

static void words_mend(char *bytes, size_t size)
{
    uint64_t words[SAVED_WORDS];

    memcpy(words, bytes, sizeof words);
    words[SAVED_W_MAGIC] = SAVED_MAGIC;
    words[SAVED_W_VERSION] = (words[SAVED_W_VERSION] & UINT64_C(0xff00000000)) | SAVED_VERSION;
    words[SAVED_W_SIZE] = size;
    words[SAVED_W_CHECKSUM] = saved_checksum(0, bytes + SAVED_CHECKED_AT, size - SAVED_CHECKED_AT);
    memcpy(bytes, words, sizeof words);
}

static void all_is_inside(struct saved *saved, const char *bytes, size_t size)
{
    struct saved_instance instance;
    uint64_t count = 0;

    while (saved_next(saved, &instance)) {
        require(instance.value.family == 4 || instance.value.family == 6);
        require(instance.key >= bytes && instance.key_length <= size &&
                instance.key + instance.key_length <= bytes + size);
        require(instance.prefix >= bytes && instance.prefix_length <= size &&
                instance.prefix + instance.prefix_length <= bytes + size);
        count++;
    }
    require(count == saved->head.instances);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, size };
    bool is_mended = take(&input, 1) % 2 == 1;
    size_t length = input.size;
    char *bytes = take_text(&input, length);
    struct saved_head now;
    struct saved saved;

    if (is_mended && length >= SAVED_BYTES)
        words_mend(bytes, length);
    if (saved_open(&saved, bytes, length) == NULL) {
        all_is_inside(&saved, bytes, length);
        saved_now(&now);
        require(saved_age(&saved.head, &now) >= 0 || saved_age(&saved.head, &now) == SAVED_AGELESS);
    }
    free(bytes);
    return 0;
}
