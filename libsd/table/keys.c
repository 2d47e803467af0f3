/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * See keys.h.
 */
#include "keys.h"

struct key_list key_list(const uint64_t *words)
{
    struct key_list list = { .words = words };

    if (words != NULL) {
        list.shape = table_shape(words[TABLE_R_SHAPE]);
        list.count = list.shape.v4 + list.shape.v6 + ((words[TABLE_R_ANSWER] & 0xffff) != 0);
    }
    return list;
}

struct key key_at(const struct key_list *list, uint32_t i)
{
    const char *bytes = (const char *)list->words;
    uint32_t v4;

    if (i < list->shape.v4) {
        memcpy(&v4, bytes + table_v4_at(list->shape) * 8 + i * 4, 4);
        return key_of_v4(v4);
    }
    i -= list->shape.v4;
    if (i < list->shape.v6)
        return key_of_v6(bytes + table_v6_at(list->shape) * 8 + i * 16);
    return key_of_port((uint32_t)(list->words[TABLE_R_ANSWER] & 0xffff));
}

/* In the order of bytes, as the record has its addresses. */
static int key_order(const struct key *a, const struct key *b)
{
    int order;

    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    order = a->kind == 4 ? memcmp(&a->low, &b->low, 4) : memcmp(&a->high, &b->high, 8);
    if (order == 0)
        order = memcmp(&a->low, &b->low, 8);
    return order;
}

bool key_list_has(const struct key_list *list, const struct key *key)
{
    uint32_t low = 0, high = list->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct key theirs = key_at(list, middle);
        int order = key_order(&theirs, key);

        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* The most frequent change leaves the addresses alone. */
static bool have_same_addresses(const struct key_list *a, const struct key_list *b)
{
    return a->words != NULL && b->words != NULL && a->shape.v4 == b->shape.v4 &&
           a->shape.v6 == b->shape.v6 &&
           memcmp(a->words + table_v4_at(a->shape), b->words + table_v4_at(b->shape),
                  (table_sums_at(a->shape) - table_v4_at(a->shape)) * sizeof *a->words) == 0;
}

uint32_t key_list_only(const struct key_list *list, const struct key_list *other,
                       key_action *action, void *arg)
{
    uint32_t found = 0, i = 0;

    if (have_same_addresses(list, other))
        i = list->shape.v4 + list->shape.v6;
    for (uint32_t j = i; i < list->count; i++) {
        struct key key = key_at(list, i);
        int order = -1;

        for (; j < other->count; j++) {
            struct key theirs = key_at(other, j);

            order = key_order(&key, &theirs);
            if (order <= 0)
                break;
        }
        if (j < other->count && order == 0)
            continue;
        found++;
        if (action != NULL)
            action(arg, &key);
    }
    return found;
}
