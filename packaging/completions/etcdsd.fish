# fish completion for etcdsd
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# etcdsd itself knows what a word may become: see etcdsd(1), COMPLETION.

function __etcdsd_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l etcdsd $words[1]
    set -e words[1]
    for line in (command $etcdsd __complete $words "$current" 2>/dev/null)
        switch $line
            case :files
                set -l option (string match -r -- '^--[^=]*=' "$current")
                for path in (__fish_complete_path (string replace -r -- '^--[^=]*=' '' "$current"))
                    echo "$option$path"
                end
            case :program
                __fish_complete_command
            case '*'
                echo $line
        end
    end
end

complete -c etcdsd -f -a '(__etcdsd_complete)'
