#!/bin/sh
# Build a book with publican: build_guide.sh BOOK RESULT WORK LANGUAGE FORMATS STAMP [BRAND]
#
# BOOK and BRAND are folders with a publican.cfg; FORMATS is a list with commas. RESULT gets a folder for each
# format and, last of all, the empty file STAMP. The book's folder is not written to.
set -eu

book=$1 result=$2 work=$3 language=$4 formats=$5 stamp=$6 brand=${7-}
common=${PUBLICAN_COMMON:-/usr/share/publican/Common_Content}
export LC_ALL=C.UTF-8 # publican reads file names by it

fail() { printf '%s\n' "$*" >&2; exit 1; }
setting() { sed -n "s/^$2: *\"\{0,1\}\([^\"]*[^\" ]\)\"\{0,1\} *\$/\1/p" "$1/publican.cfg" | head -n 1; }

[ -f "$book/publican.cfg" ] || fail "$book has no publican.cfg, so it is no book of publican's"
[ -d "$book/$language" ] || fail "$book has no folder $language, which the book would be in"
[ -z "$brand" ] || [ -f "$brand/publican.cfg" ] || fail "$brand has no publican.cfg, so it is no brand of publican's"

mkdir -p "$work" "$result"
copy=$work/book
rm -rf "$copy"
cp -R "$book" "$copy"
rm -rf "$copy/.git" "$copy/tmp" "$copy/publish"
cd "$copy"

# A brand that lies in the book's folder; else the one that it names, where that is installed; else the stock.
if [ -z "$brand" ]; then
    for candidate in */publican.cfg */*/publican.cfg; do
        folder=$(dirname "$candidate")
        if [ -f "$candidate" ] && [ "$(setting "$folder" type)" = brand ]; then
            brand=$copy/$folder
            break
        fi
    done
fi
named=$(setting . brand)
if [ -z "$brand" ] && [ ! -f "$common/${named:-common}/publican.cfg" ]; then
    case $(setting . dtdver) in 5*) brand=$common/common-db5 ;; *) brand=$common/common ;; esac
    printf 'the brand %s is not installed: the stock brand is taken\n' "$named"
fi

publican build --langs="$language" --formats="$formats" ${brand:+--brand_dir="$brand"} >"$work/log" 2>&1 || {
    tail -n 20 "$work/log" >&2
    fail "publican could not build the book; all it said is in $work/log"
}

for format in $(printf '%s' "$formats" | tr , ' '); do
    made=tmp/$language/$format
    case $format in pdf) pattern='*.pdf' ;; *) pattern=index.html ;; esac
    [ -n "$(find "$made" -name "$pattern" -size +0 2>/dev/null)" ] ||
        fail "publican ended well and left no $pattern; all it said is in $work/log"
    rm -rf "${result:?}/$format"
    cp -R "$made" "$result/$format"
done
rm -f "$result"/.built-*
: >"$result/$stamp"
