# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Measurements (see bench.c) to one Markdown table a part, on standard output,
# and to a CSV file of the same numbers.
#
#     awk -v csv=FILE -f summary.awk MEASUREMENTS
#
# A row's figure is the median of its rounds, beside it the least and the most;
# its ratio is taken within each round, to the row that it names.

function sorted(n,    i, j, x) {
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && v[j] < v[j - 1]; j--) { x = v[j]; v[j] = v[j - 1]; v[j - 1] = x }
}

function median(n) { return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2 }

function short(x) {
    return x < 0 ? "-" short(-x) : sprintf(x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : "%.2f", x)
}

# Nanoseconds of a system call and more read better as microseconds, and so on.
function scaled(x, unit) {
    if (x < 0) return "-" scaled(-x, unit)
    if (unit == "ns" && x >= 1e9) return short(x / 1e9) " s"
    if (unit == "ns" && x >= 1e6) return short(x / 1e6) " ms"
    if (unit == "ns" && x >= 1e3) return short(x / 1e3) " µs"
    return short(x) " " unit
}

BEGIN {
    FS = "\t"
    title["lookups"] = "Lookups (ratio: to the null module's row of the same call, or as the row says)"
    title["peers"] = "Beside our peers, as nsswitch.conf has them (ratio: to the null module)"
    title["pick"] = "libsd_pick (ratio: to a counter and an array)"
    title["writer"] = "The table's writer (ratio: to 1,000 services)"
    title["visible"] = "From etcd's answer to a PUT to the new answer in another process"
    title["registrations"] = "Registrations of one process"
    title["fleet"] = "What many hosts cost one etcd"
    title["scale"] = "The watcher at scale"
}

NF == 7 {
    row = $1 SUBSEP $2
    if (!($1 in part_of)) { part_of[$1] = 1; parts[++part_count] = $1 }
    if (!(row in unit)) { rows[++row_count] = row; unit[row] = $3; base[row] = $4; goal[row] = $5; text[row] = $2; part[row] = $1 }
    rounds[row]++
    round[row, rounds[row]] = $6
    value[row, rounds[row]] = $7
    at[row, $6] = $7
}

# Sets mid, low and high, and returns in how many rounds.
function figures(row,    i) {
    for (i = 1; i <= rounds[row]; i++) v[i] = value[row, i] + 0
    sorted(rounds[row])
    mid = median(rounds[row]); low = v[1]; high = v[rounds[row]]
}

function ratios(row,    i, n, key) {
    n = 0
    if (base[row] == "" || base[row] == text[row]) return 0
    key = part[row] SUBSEP base[row]
    for (i = 1; i <= rounds[row]; i++)
        if (at[key, round[row, i]] > 0) v[++n] = value[row, i] / at[key, round[row, i]]
    sorted(n)
    if (n > 0) { rmid = median(n); rlow = v[1]; rhigh = v[n] }
    return n
}

END {
    print "part,row,unit,median,least,most,ratio,ratio_least,ratio_most,goal" >csv
    for (p = 1; p <= part_count; p++) {
        name = parts[p]
        printf "\n### %s\n\n| | median | least to most | ratio | least to most | goal |\n|---|---:|---:|---:|---:|---|\n", \
            (name in title) ? title[name] : name
        for (r = 1; r <= row_count; r++) {
            row = rows[r]
            if (part[row] != name) continue
            figures(row)
            printf "| %s | %s | %s to %s |", text[row], scaled(mid, unit[row]), scaled(low, unit[row]), scaled(high, unit[row])
            printf "%s,\"%s\",%s,%.3f,%.3f,%.3f,", name, text[row], unit[row], mid, low, high >csv
            if (ratios(row)) {
                printf " %s | %s to %s |", short(rmid), short(rlow), short(rhigh)
                printf "%.3f,%.3f,%.3f,%s\n", rmid, rlow, rhigh, goal[row] >csv
            } else {
                printf " | |"
                printf ",,,%s\n", goal[row] >csv
            }
            printf " %s |\n", goal[row]
        }
    }
}
