"""What else an image file is: to another program the same file can be something active.

Imports the standard library alone, and takes 0.1 ms.
"""

from __future__ import annotations

import re
import struct

#: Where browsers, PDF readers and the like look to see what a file is.
_HEAD = 1024

#: PHP looks for code in the whole file; comments are near its beginning, and what is appended is
#: near its end. Searching all in between would take 0.5 ms a MB.
_ENDS = 65_536

_PDF = re.compile(rb"%pdf-", re.IGNORECASE)
#: What follows must end the word, since other words begin with `<svg` too.
_TAG = re.compile(
    rb"<(?:(svg)|script|!doctype|html|head|body|iframe|style|object|embed|img)(?=[\s/>])",
    re.IGNORECASE,
)
_PHP = re.compile(rb"<\?php\b", re.IGNORECASE)
_PHP_ARCHIVE = b"__HALT_COMPILER();"

#: `<?` and `<%` are in one of 30 photographs by chance, in XMP text, and in the pixels of dark
#: bitmaps, which are all letters. In code they are followed by something that code does.
_ACTS = (
    rb"\$_(?:get|post|request|cookie|server|files|env|session)\b"
    rb"|\b(?:echo|print|eval|assert|system|exec|shell_exec|passthru|popen|proc_open|phpinfo"
    rb"|include|require|copy|fopen|base64_decode|file_[gp][eu]t_contents"
    rb"|execute|request|response|server|import|runtime)(?:_once)?\b"
)
_CODE = re.compile(
    rb"<([?%%])(?:=?\s*`[a-z][\w ./-]{1,64}`|=\s*(?:\$[a-z_]|[a-z_]\w{0,40}\()"
    rb"|(?:(?![?%%]>)[\t\n\r -~]){0,64}?(?:%b))" % _ACTS,
    re.IGNORECASE,
)

#: The end of a ZIP file: its mark, then among other things the length of its list of files and of
#: the comment after it, of which the longest possible is given here.
_ZIP_END, _ZIP_LIST, _ZIP64_END = b"PK\x05\x06", b"PK\x01\x02", b"PK\x06\x07"
_ZIP_END_LENGTH, _LONGEST_COMMENT = 22, 65_535


def second_nature(content: bytes) -> str | None:
    """Returns what a file is besides an image, such as "a ZIP file"; None if it is nothing else.

    It knows ZIP files (and so JAR, APK and office documents) that are appended, as unpackers find
    them; PDF, HTML and SVG, in UTF-16 too, within the first 1024 bytes; PHP, ASP and JSP after
    `<?` and `<%`, and PHP archives, in the first and last 64 kB. It cannot catch what is made with
    care: a script without such a mark, such as a GIF that is also JavaScript, or HTML further in.
    So whoever shows images must serve them with their type and `X-Content-Type-Options: nosniff`,
    from a folder where no scripts are run; or show a copy that was encoded again.

    Args:
        content: the file, known to be an image.
    """
    head = content[:_HEAD]
    if _PDF.search(head):
        return "a PDF"
    # In UTF-16 a mark is every other byte.
    utf16 = (content[start : 2 * _HEAD : 2] for start in (0, 1))
    if tag := next(filter(None, map(_TAG.search, (head, *utf16))), None):
        return "an SVG drawing" if tag[1] else "an HTML page"
    ends = (content[:_ENDS], content[-_ENDS:])
    code = next(filter(None, map(_CODE.search, ends)), None)
    is_php = any(_PHP.search(end) or _PHP_ARCHIVE in end for end in ends)
    if is_php or (code and code[1] == b"?"):
        return "a PHP script"
    if code:
        return "an ASP or JSP page"
    return "a ZIP file" if _is_zip_polyglot(content) else None


def _is_zip_polyglot(content: bytes) -> bool:
    first = max(0, len(content) - _ZIP_END_LENGTH - _LONGEST_COMMENT)
    at = content.rfind(_ZIP_END, first)
    while at >= 0:
        if _is_zip_end(content, at):
            return True
        at = content.rfind(_ZIP_END, first, at)
    return False


def _is_zip_end(content: bytes, at: int) -> bool:
    """Whether what looks like the end of a ZIP file is one: its list of files is before it.

    The mark alone would be found in one of 65,000 photographs.
    """
    if at + _ZIP_END_LENGTH > len(content):
        return False
    [length] = struct.unpack_from("<I", content, at + 12)
    is_listed = length <= at and content.startswith(_ZIP_LIST, at - length)
    return is_listed or (at >= 20 and content.startswith(_ZIP64_END, at - 20))
