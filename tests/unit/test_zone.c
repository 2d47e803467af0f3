/* SPDX-License-Identifier: LGPL-2.1-or-later
 *
 * From keys to owner names: segments, labels, lengths.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "../../nss/watcher/zone.h"

static const struct zone zone = {
    .prefix = "/service/",
    .prefix_length = sizeof "/service/" - 1,
    .domain = "service.etcd",
    .domain_length = sizeof "service.etcd" - 1,
};

static int place_text(const char *rest, struct zone_place *place)
{
    return zone_place_key(&zone, rest, strlen(rest), place);
}

static void expect_place(const char *rest, const char *name, const char *label, bool is_exact)
{
    struct zone_place place;

    cr_assert_eq(place_text(rest, &place), 0, "%s", rest);
    cr_expect_str_eq(place.name, name);
    cr_expect_str_eq(place.label, label);
    cr_expect_eq(place.name_length, strlen(name));
    cr_expect_eq(place.label_length, strlen(label));
    cr_expect_eq(place.is_exact, is_exact, "%s", rest);
}

static void expect_no_place(const char *rest, int reason)
{
    struct zone_place place;

    cr_expect_eq(place_text(rest, &place), reason, "%s", rest);
}

Test(zone, last_segment_is_the_instance)
{
    expect_place("user/instance-1", "user.service.etcd", "instance-1", true);
}

Test(zone, segments_before_it_are_the_name_in_reverse)
{
    expect_place("shop/user/i1", "user.shop.service.etcd", "i1", true);
    expect_place("a/b/c/d", "c.b.a.service.etcd", "d", true);
}

Test(zone, segments_are_exact)
{
    expect_place("user2/i1", "user2.service.etcd", "i1", true);
}

Test(zone, label_is_lower_case_and_then_not_exact)
{
    expect_place("User/Web-1", "user.service.etcd", "web-1", false);
    expect_place("user/Web-1", "user.service.etcd", "web-1", false);
    expect_place("User/web-1", "user.service.etcd", "web-1", false);
}

Test(zone, other_characters_become_one_hyphen)
{
    expect_place("user/instance - 1", "user.service.etcd", "instance-1", false);
    expect_place("user/10.0.0.5:9090", "user.service.etcd", "10-0-0-5-9090", false);
    expect_place("user/__a__", "user.service.etcd", "a", false);
    expect_place("user/-a-", "user.service.etcd", "a", false);
    expect_place("my_app/a", "my-app.service.etcd", "a", false);
}

Test(zone, hyphens_of_a_label_stay)
{
    expect_place("user/a--b", "user.service.etcd", "a--b", true);
    expect_place("xn--bcher-kva/a", "xn--bcher-kva.service.etcd", "a", true);
}

Test(zone, label_is_cut_at_63_octets_without_a_hyphen_at_the_end)
{
    char rest[128], label[TABLE_MAX_LABEL + 1];
    bool is_exact;

    memset(rest, 'a', sizeof rest);
    cr_expect_eq(zone_label(rest, 63, label, &is_exact), 63);
    cr_expect(is_exact);
    cr_expect_eq(zone_label(rest, 64, label, &is_exact), 63);
    cr_expect_not(is_exact);
    rest[62] = '-';
    cr_expect_eq(zone_label(rest, 64, label, &is_exact), 62);
    cr_expect_eq(strlen(label), 62);
}

Test(zone, instance_without_a_label_has_a_place_all_the_same)
{
    expect_place("user/---", "user.service.etcd", "", false);
    expect_place("user/\xe6\x97\xa5", "user.service.etcd", "", false);
}

Test(zone, key_without_service_segment_has_no_place)
{
    expect_no_place("i1", ZONE_NO_SERVICE);
}

Test(zone, empty_segment_has_no_place)
{
    expect_no_place("", ZONE_EMPTY_SEGMENT);
    expect_no_place("/", ZONE_EMPTY_SEGMENT);
    expect_no_place("/i1", ZONE_EMPTY_SEGMENT);
    expect_no_place("user/", ZONE_EMPTY_SEGMENT);
    expect_no_place("user//i1", ZONE_EMPTY_SEGMENT);
    expect_no_place("//", ZONE_EMPTY_SEGMENT);
}

Test(zone, service_segment_without_a_letter_has_no_place)
{
    expect_no_place("---/i1", ZONE_NO_LABEL);
    expect_no_place("a/../i1", ZONE_NO_LABEL);
}

Test(zone, key_may_hold_any_byte)
{
    struct zone_place place;
    static const char rest[] = "us\0er/i\n1";

    cr_assert_eq(zone_place_key(&zone, rest, sizeof rest - 1, &place), 0);
    cr_expect_str_eq(place.name, "us-er.service.etcd");
    cr_expect_str_eq(place.label, "i-1");
}

/* The longest instance name has exactly 253 octets. */
Test(zone, name_of_253_octets_is_the_longest)
{
    char rest[400];
    struct zone_place place;
    int room = TABLE_MAX_NAME - (int)strlen("i.") - (int)strlen(".service.etcd");

    for (int length = room - 1; length <= room + 1; length++) {
        int used = 0;

        /* Labels of 59 and a dot, and what is left over. */
        for (int left = length; left > 0; left -= 60)
            used +=
                snprintf(rest + used, sizeof rest - (size_t)used, "%.*s/", left < 60 ? left : 59,
                         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        memcpy(rest + used, "i", 2);
        cr_expect_eq(place_text(rest, &place), length <= room ? 0 : ZONE_TOO_LONG, "%d", length);
        if (length <= room)
            cr_expect_eq(place.name_length + 1 + place.label_length,
                         TABLE_MAX_NAME - room + length);
    }
}

Test(zone, very_long_key_has_no_place)
{
    static char rest[1 << 20];

    for (size_t i = 0; i < sizeof rest; i++)
        rest[i] = i % 2 == 0 ? 'a' : '/';
    rest[sizeof rest - 1] = 'i';
    struct zone_place place;
    cr_expect_eq(zone_place_key(&zone, rest, sizeof rest, &place), ZONE_TOO_LONG);
}

Test(zone, each_reason_has_words)
{
    for (int code = ZONE_TOO_LONG; code < 0; code++)
        cr_expect_str_neq(zone_strerror(code), zone_strerror(1));
}

Test(zone, key_outside_the_prefix_is_not_in_it)
{
    cr_expect(zone_has_key(&zone, "/service/a/b", 12));
    cr_expect_not(zone_has_key(&zone, "/services/a", 11));
    cr_expect_not(zone_has_key(&zone, "/serv", 5));
}

Test(zone, domain_is_normalized)
{
    char domain[TABLE_MAX_NAME + 1];

    cr_assert_eq(zone_domain_normalize(".Service.ETCD.", domain, sizeof domain), 12);
    cr_expect_str_eq(domain, "service.etcd");
    cr_assert_eq(zone_domain_normalize("etcd", domain, sizeof domain), 4);
    cr_expect_str_eq(domain, "etcd");
}

Test(zone, no_domain_is_refused)
{
    static const char *const wrong[] = { "",    ".",     "..",    "a..b",  "-a.b", "a-.b",
                                         "a b", "a_b.c", "..a.b", "a.b..", "a/b",  "\xc3\xa9.b" };
    char domain[TABLE_MAX_NAME + 1], longest[300];

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(zone_domain_normalize(wrong[i], domain, sizeof domain), -1, "%s", wrong[i]);
    memset(longest, 'a', sizeof longest);
    for (size_t i = 60; i < sizeof longest; i += 60)
        longest[i] = '.';
    longest[251] = '\0';
    cr_expect_eq(zone_domain_normalize(longest, domain, sizeof domain), 251);
    longest[251] = 'a';
    longest[252] = '\0';
    cr_expect_eq(zone_domain_normalize(longest, domain, sizeof domain), -1);
}
