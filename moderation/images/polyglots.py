"""What else an image file is: a file can be an image and, for another program, something active.

Imports nothing but Python's own, and takes 0.1 ms.
"""

from __future__ import annotations

import re
import struct

#: Where browsers, PDF readers and the like look for what a file is.
_HEAD = 1024

#: PHP looks for its code in all of a file; comments stand near its begin, and what is appended
#: near its end. All in between would take 0.5 ms a MB.
_ENDS = 65_536

_PDF = re.compile(rb"%pdf-", re.IGNORECASE)
#: What follows must end the word, since `<svg` alone is also how other words begin.
_TAG = re.compile(
    rb"<(?:(svg)|script|!doctype|html|head|body|iframe|style|object|embed|img)(?=[\s/>])",
    re.IGNORECASE,
)
_PHP = re.compile(rb"<\?php\b", re.IGNORECASE)
_PHP_ARCHIVE = b"__HALT_COMPILER();"

#: `<?` and `<%` stand in one of 30 photographs by chance, in text of XMP, and in the pixels of dark
#: bitmaps, which are all letters. As code they are followed by what code would do.
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

#: The end of a ZIP file: its mark, then among other things how long its list of files is, and how
#: long the comment after it. The comment is the longest that there can be.
_ZIP_END, _ZIP_LIST, _ZIP64_END = b"PK\x05\x06", b"PK\x01\x02", b"PK\x06\x07"
_ZIP_END_LENGTH, _LONGEST_COMMENT = 22, 65_535


def second_nature(content: bytes) -> str | None:
    """Returns what a file is besides an image, "a ZIP file" for one; None where it is nothing else.

    It knows ZIP files (and so JAR, APK and office documents) that are appended, as unpackers find
    them; PDF, HTML and SVG, in UTF-16 too, within the first 1024 bytes; PHP, ASP and JSP behind
    `<?` and `<%`, and PHP archives, in the first and last 64 kB. It cannot catch what is
    made with care: a script without such a mark, as GIF that is JavaScript too, or HTML further in.
    So whoever shows images serves them with their type and `X-Content-Type-Options: nosniff`, and
    from no folder where scripts are run; or shows a copy that was encoded anew.

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
    if any(map(_is_php, ends)) or (code and code[1] == b"?"):
        return "a PHP script"
    if code:
        return "an ASP or JSP page"
    return "a ZIP file" if _ends_as_zip(content) else None


def _is_php(part: bytes) -> bool:
    return bool(_PHP.search(part)) or _PHP_ARCHIVE in part


def _ends_as_zip(content: bytes) -> bool:
    first = max(0, len(content) - _ZIP_END_LENGTH - _LONGEST_COMMENT)
    at = content.rfind(_ZIP_END, first)
    while at >= 0:
        if _lists_files(content, at):
            return True
        at = content.rfind(_ZIP_END, first, at)
    return False


def _lists_files(content: bytes, at: int) -> bool:
    """Whether what looks like the end of a ZIP file is one: its list of files lies before it.

    The mark alone would be found in one of 65,000 photographs.
    """
    if at + _ZIP_END_LENGTH > len(content):
        return False
    [length] = struct.unpack_from("<I", content, at + 12)
    is_listed = length <= at and content.startswith(_ZIP_LIST, at - length)
    return is_listed or (at >= 20 and content.startswith(_ZIP64_END, at - 20))
