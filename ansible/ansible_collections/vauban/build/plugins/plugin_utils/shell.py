"""Finds the commands that lines of shell call by their paths."""

import functools
import re

# A line that ends with a backslash goes on in the next one.
BEFORE = r'(?:^|[;&|({\n]|\b(?:if|then|else|do|while|until|sudo|exec|nohup|time)\s|!\s)(?:\s|\\\n)*'
PATH = r'(?:/usr)?/s?bin/'

# What a shell hands on as it is, and what may so be the text of a file: words
# in quotes and in arrays, comments, and the documents that commands are given
# to read.
QUOTED = r'''\\.|'[^']*'|(?P<double>"(?:\\.|[^"\\])*")|(?<==)\([^()]*\)|(?<!\S)#[^\n]*'''
DOCUMENT = (r'''(?<!<)<<-?[ \t]*['"\\]?(?P<tag>\w+)['"]?(?P<rest>[^\n]*)'''
            r'(?P<body>\n(?:[^\n]*\n)*?[ \t]*(?P=tag)[ \t]*(?=\n|\Z))')


STATEMENTS = re.compile(r'[;\n]|&&|\|\||\b(?:then|do|else)\b')
OF_SYS = re.compile(r'.*/sys/|\s*(?:$|\[|(?:if|elif|for|while|fi|done|set|test|true)\b)')
REFUSED = re.compile(r'.*/sys/\S*: Read-only file system$')


@functools.lru_cache
def patterns(names):
    """Matches calls of commands, or text; and calls within double quotes."""
    called = f'(?:{PATH}(?P<name>{"|".join(map(re.escape, names))})|/etc/init\\.d/(?P<script>[\\w.@+-]+))'
    return (re.compile(f'{QUOTED}|{DOCUMENT}|(?P<before>{BEFORE}){called}' + r'(?=[\s;&|)]|$)', re.DOTALL),
            re.compile(r'(?P<before>\$\(\s*)' + called + r'(?=[\s;&|)])'))


def lead(line, names, folder):
    """Has a line call the commands of these names in a folder, where it calls them by a standard path.

    Init scripts are called by the command service, as they do themselves where systemd runs.
    """
    called, substituted = patterns(tuple(names))

    def put(found):
        called = found['name'] or f"service {found['script']}"
        return f"{found['before']}{folder}/{called}"

    def changed(found):
        if found['name'] or found['script']:
            return put(found)
        if found['double']:
            return substituted.sub(put, found[0])
        if found['body']:
            begin = found[0][:found.start('rest') - found.start()]
            return begin + lead(found['rest'], names, folder) + found['body']
        return found[0]

    return called.sub(changed, line)


def only_sets_sys(line, errors):
    """Reports whether a line is there for settings of the kernel below /sys, and failed for no other reason."""
    lines = errors.splitlines()
    return bool(lines) and all(map(REFUSED.match, lines)) and all(map(OF_SYS.match, STATEMENTS.split(line)))
