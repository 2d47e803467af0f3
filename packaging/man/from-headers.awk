# Makes a manual page in mdoc(7) from a page of packaging/man and the comments
# of the public headers, so that what a function does is said once.
# SPDX-License-Identifier: LGPL-2.1-or-later
#
#   awk -f from-headers.awk HEADER... PAGE.in >PAGE
#
# A header is a sequence of sections
#
#     /* ---- TITLE ------ */
#
# and each of these a sequence of items: a comment that begins in the first
# column, and the declarations up to the next one.  In PAGE.in, which is mdoc
# otherwise, these lines stand for what they name:
#
#   @names               .Nm lines of all functions of the items below
#   @synopsis            their prototypes
#   @preamble HEADER     the comment at the header's begin
#   @section TITLE       the items of the section whose title begins so,
#   @without NAME...       but for those that declare one of these (given before)
#   @item NAME...        the items that declare these
#
# What is named and not there is an error.  How comments are read:
#
#   "name: text", continued by deeper lines    a parameter
#   a paragraph that is indented by four blanks, or is a table      literal
#   "CAPITALS.  text", "CAPITALS text"          a subsection

function fail(what) {
    print FILENAME ":" FNR ": " what >"/dev/stderr"
    failed = 1
    exit 1
}

# ---- reading headers --------------------------------------------------------

function item_begin() {
    items++
    section_of[items] = section
    comment[items] = code[items] = functions[items] = declares[items] = ""
}

# A prototype is in one piece now: notes its names and the .Fo of the synopsis.
function take_function(text,    name, type, list, count, i, macro) {
    sub(/^LIBSD_API /, "", text)
    sub(/;$/, "", text)
    gsub(/[ \t]+/, " ", text)
    match(text, /libsd_[a-z0-9_]*\(/)
    name = substr(text, RSTART, RLENGTH - 1)
    type = substr(text, 1, RSTART - 1)
    list = substr(text, RSTART + RLENGTH)
    sub(/\)$/, "", list)
    sub(/ $/, "", type)
    macro = ".Ft " quoted(type) "\n.Fo " name "\n"
    count = split(list, parameters, /, /)
    for (i = 1; i <= count; i++)
        macro = macro ".Fa " quoted(parameters[i]) "\n"
    prototype[name] = macro ".Fc\n"
    functions[items] = functions[items] (functions[items] == "" ? "" : " ") name
    declares[items] = declares[items] " " name " "
}

function quoted(text) {
    return text ~ / / ? "\"" text "\"" : text
}

# Remembers every name in a line of a type that somebody may ask for.
function take_code(line,    rest) {
    code[items] = code[items] line "\n"
    rest = line
    while (match(rest, /(libsd|LIBSD)_[A-Za-z0-9_]+/)) {
        declares[items] = declares[items] " " substr(rest, RSTART, RLENGTH) " "
        rest = substr(rest, RSTART + RLENGTH)
    }
}

FNR == 1 { section = state = "" ; is_page = FILENAME ~ /\.in$/ }

!is_page && FNR == 1 {
    header = FILENAME
    sub(/.*\//, "", header)
    in_preamble = 1
    next
}

!is_page && in_preamble {
    if ($0 ~ /\*\/$/)
        in_preamble = 0
    else if ($0 !~ /Every item is available/)
        preamble[header] = preamble[header] substr($0, 4) "\n"
    next
}

!is_page && /^\/\* ---- .* -+ \*\/$/ {
    section = $0
    sub(/^\/\* ---- /, "", section)
    sub(/ -+ \*\/$/, "", section)
    item_begin()
    next
}

!is_page && section == "" { next }

!is_page && state == "comment" {
    if (sub(/ *\*\/$/, ""))
        state = ""
    comment[items] = comment[items] substr($0, 4) "\n"
    next
}

!is_page && state == "" && /^\/\*/ {
    item_begin()
    state = "comment"
    if (sub(/ *\*\/$/, ""))
        state = ""
    comment[items] = substr($0, 4) "\n"
    next
}

!is_page && state == "body" {
    if ($0 == "}")
        state = ""
    next
}

!is_page && (state == "prototype" || /^LIBSD_API / || /^static inline /) {
    if ($0 == "{") {
        take_function(pending)
        state = "body"
        next
    }
    pending = (state == "prototype" ? pending " " : "") $0
    state = "prototype"
    if ($0 ~ /;$/) {
        take_function(pending)
        state = ""
    }
    next
}

# Guards, and what is for C++, at the end of a header.
!is_page && (/^# *(if|ifdef|endif|include)/ || /^extern "C"/ || $0 == "}") { next }

!is_page {
    if ($0 != "" || code[items] != "")
        take_code($0)
    next
}

# ---- reading the page -------------------------------------------------------

{ page[++lines] = $0 }

$1 == "@without" || $1 == "@item" {
    for (i = 2; i <= NF; i++) {
        found = 0
        for (j = 1; j <= items; j++)
            if (index(declares[j], " " $i " ") && !found) {
                found = j
                if ($1 == "@without")
                    left_out[j] = 1
            }
        if (!found)
            fail($i " is declared nowhere")
        if ($1 == "@item")
            asked[lines] = asked[lines] " " found
    }
}

$1 == "@section" {
    title = $0
    sub(/^@section /, "", title)
    for (j = 1; j <= items; j++)
        if (index(section_of[j], title) == 1 && !left_out[j])
            asked[lines] = asked[lines] " " j
    if (asked[lines] == "")
        fail("there is no section " title)
}

$1 == "@preamble" && !($2 in preamble) { fail("there is no header " $2) }

# ---- writing ----------------------------------------------------------------

# Text as mdoc takes it: each sentence begins a line, functions are bold.
function text_of(text) {
    gsub(/\\/, "\\e", text)
    gsub(/libsd_[a-z0-9_]+\(\)/, "\\fB&\\fP", text)
    gsub(/  +/, " ", text)
    return begun(broken(text))
}

# A new line behind the end of each sentence.
function broken(text,    done) {
    done = ""
    while (match(text, /[^.][.!?]["')]* +/)) {
        done = done substr(text, 1, RSTART + RLENGTH - 1)
        sub(/ +$/, "", done)
        done = done "\n"
        text = substr(text, RSTART + RLENGTH)
    }
    return done text
}

# A dot or an apostrophe at a line's begin is no macro.
function begun(text) {
    gsub(/\n\./, "\n\\\\\\&.", text)
    gsub(/\n'/, "\n\\\\\\&'", text)
    sub(/^['.]/, "\\\\\\&&", text)
    return text
}

function literal_of(text) {
    gsub(/\\/, "\\e", text)
    gsub(/-/, "\\-", text)
    gsub(/'/, "\\(aq", text)
    gsub(/`/, "\\(ga", text)
    gsub(/\^/, "\\(ha", text)
    gsub(/~/, "\\(ti", text)
    gsub(/\n\./, "\n\\\\\\&.", text)
    return text
}

function flush_text() {
    if (gathered != "")
        print text_of(gathered)
    gathered = ""
}

function flush_literal() {
    if (gathered_code != "") {
        sub(/\n+$/, "\n", gathered_code)
        if (gathered_code ~ /^    /) {
            sub(/^    /, "", gathered_code)
            gsub(/\n    /, "\n", gathered_code)
        }
        printf ".Bd -literal -offset indent\n%s.Ed\n", literal_of(gathered_code)
        wants_paragraph = 1
    }
    gathered_code = ""
}

function list_end() {
    if (in_list)
        print ".El"
    wants_paragraph = wants_paragraph || in_list
    in_list = 0
}

function paragraph() {
    if (wants_paragraph)
        print ".Pp"
    wants_paragraph = 0
}

# Whether a line begins to say what a parameter is; one that only breaks in an
# unlucky place goes on with a sentence.
function is_parameter(line,    name) {
    if (line !~ /^[a-z][a-z0-9_]*(, [a-z][a-z0-9_]*)*: / || gathered != "" && gathered !~ /[.:;]$/)
        return 0
    name = line
    sub(/[,:].*/, "", name)
    return known == "" || known ~ ("[ *]" name "[,) \"\n]")
}

function put_parameter(line,    name) {
    flush_text()
    if (!in_list)
        print ".Bl -tag -width Ds"
    in_list = 1
    name = substr(line, 1, index(line, ": ") - 1)
    gsub(/, /, " , ", name)
    print ".It Fa " name
    gathered = substr(line, index(line, ": ") + 2)
}

# known: the declarations whose parameters it may tell; "": any; "-": none.
function put_comment(text, known_here,    count, all, i, line, is_new, was_new, title) {
    count = split(text, all, "\n")
    known = known_here
    is_new = 1
    in_list = is_literal = 0
    gathered = gathered_code = ""
    for (i = 1; i <= count; i++) {
        line = all[i]
        if (line == "") {
            if (is_literal)
                gathered_code = gathered_code "\n"
            flush_text()
            is_new = 1
            continue
        }
        if (is_new) {
            is_literal = line ~ /^    / || line ~ /[^.:;!?]   +[^ ]/
            if (!is_literal)
                flush_literal()
            if (!in_list || line !~ /^  / && !is_parameter(line)) {
                list_end()
                wants_paragraph = !has_heading
            }
            has_heading = 0
        }
        was_new = is_new
        is_new = 0
        if (is_literal) {
            gathered_code = gathered_code line "\n"
            continue
        }
        if (was_new && match(line, /^[A-Z][A-Z' ]+[A-Z](\. +| [a-z])/)) {
            title = substr(line, 1, RLENGTH)
            sub(/\. +$| [a-z]$/, "", title)
            title = substr(title, 1, 1) tolower(substr(title, 2))
            print ".Ss " title
            wants_paragraph = 0
            line = substr(line, RLENGTH) ~ /^[a-z]/ ? title substr(line, length(title) + 1) : substr(line, RLENGTH + 1)
        }
        if (is_parameter(line)) {
            wants_paragraph = 0
            put_parameter(line)
        } else if (in_list && line !~ /^  / && (gathered == "" || gathered ~ /[.:;]$/)) {
            flush_text()
            list_end()
            paragraph()
            gathered = line
        } else if (line ~ /^Returns / && gathered != "") {
            flush_text()
            print ".Pp"
            gathered = line
        } else {
            paragraph()
            sub(/^ +/, "", line)
            gathered = gathered (gathered == "" ? "" : " ") line
        }
    }
    flush_text()
    flush_literal()
    list_end()
}

# What an item is called: its functions, or else the first type, or else the
# section in which it says what holds for those after it.
function heading_of(item,    names, title) {
    names = functions[item]
    gsub(/ /, ", ", names)
    if (names != "" && match("\n" code[item], /\n(typedef )?struct libsd_[a-z_]+ [{]/)) {
        title = substr(code[item], RSTART, RLENGTH - 3)
        sub(/^typedef /, "", title)
        return title ", " names
    }
    if (names != "")
        return names
    if (match(code[item], /(enum|struct) libsd_[a-z_]+/) || match(code[item], /libsd_[a-z_]+\(/)) {
        title = substr(code[item], RSTART, RLENGTH)
        sub(/\($/, "", title)
        return title
    }
    title = section_of[item]
    return toupper(substr(title, 1, 1)) substr(title, 2)
}

function put_item(item) {
    if (comment[item] == "" && code[item] == "" && functions[item] == "")
        return
    print ".Ss " heading_of(item)
    has_heading = 1
    is_first = wants_paragraph = 0
    if (comment[item] != "")
        put_comment(comment[item], prototypes_of(item) code[item])
    sub(/\n+$/, "\n", code[item])
    if (code[item] != "")
        printf ".Bd -literal\n%s.Ed\n", literal_of(code[item])
}

function prototypes_of(item,    count, list, i, all) {
    all = ""
    count = split(functions[item], list, " ")
    for (i = 1; i <= count; i++)
        all = all prototype[list[i]]
    return all
}

function all_functions(    i, j, count, list) {
    function_count = 0
    for (i = 1; i <= lines; i++) {
        count = split(asked[i], list, " ")
        for (j = 1; j <= count; j++)
            add_functions(functions[list[j]])
    }
}

function add_functions(names,    count, list, i) {
    count = split(names, list, " ")
    for (i = 1; i <= count; i++)
        function_name[++function_count] = list[i]
}

END {
    if (failed)
        exit 1
    all_functions()
    is_first = 1
    for (i = 1; i <= lines; i++) {
        count = split(page[i], words, " ")
        if (words[1] == "@names")
            for (j = 1; j <= function_count; j++)
                print ".Nm " function_name[j] (j < function_count ? " ," : "")
        else if (words[1] == "@synopsis") {
            print ".In libsd.h"
            for (j = 1; j <= function_count; j++)
                printf "%s", prototype[function_name[j]]
        } else if (words[1] == "@preamble") {
            has_heading = is_first
            put_comment(preamble[words[2]], "-")
            is_first = 0
        } else if (asked[i] != "") {
            item_count = split(asked[i], list, " ")
            for (j = 1; j <= item_count; j++)
                put_item(list[j])
        } else if (words[1] != "@without") {
            print page[i]
            is_first = words[1] == ".Sh" || words[1] == ".Ss"
        }
    }
}
