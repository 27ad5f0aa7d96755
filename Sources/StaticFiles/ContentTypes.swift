/// Content types by a file name's extension: what the web uses (IANA's registry, and what browsers need
/// to be told). Text is UTF-8. What is not known is `application/octet-stream`, which no browser runs.
package enum ContentTypes {
  /// The type of an extension in lower case, without its dot.
  package static func type(of fileExtension: String) -> String {
    table[fileExtension] ?? "application/octet-stream"
  }

  /// For a file without an extension, and one with an unknown one.
  package static var unknown: String { "application/octet-stream" }

  static let table: [String: String] = [
    // Documents and styles.
    "html": "text/html; charset=utf-8", "htm": "text/html; charset=utf-8",
    "shtml": "text/html; charset=utf-8", "xhtml": "application/xhtml+xml",
    "css": "text/css; charset=utf-8", "txt": "text/plain; charset=utf-8",
    "text": "text/plain; charset=utf-8", "log": "text/plain; charset=utf-8",
    "md": "text/markdown; charset=utf-8", "markdown": "text/markdown; charset=utf-8",
    "csv": "text/csv; charset=utf-8", "tsv": "text/tab-separated-values; charset=utf-8",
    "ics": "text/calendar; charset=utf-8", "vcf": "text/vcard; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8", "srt": "application/x-subrip",
    // Scripts and data.
    "js": "text/javascript; charset=utf-8", "mjs": "text/javascript; charset=utf-8",
    "cjs": "text/javascript; charset=utf-8", "json": "application/json",
    "map": "application/json", "jsonld": "application/ld+json", "geojson": "application/geo+json",
    "webmanifest": "application/manifest+json", "wasm": "application/wasm",
    "xml": "application/xml", "xsl": "application/xslt+xml", "xslt": "application/xslt+xml",
    "dtd": "application/xml-dtd", "rss": "application/rss+xml", "atom": "application/atom+xml",
    "yaml": "application/yaml", "yml": "application/yaml", "toml": "application/toml",
    "sql": "application/sql", "graphql": "application/graphql",
    "proto": "text/plain; charset=utf-8",
    "kml": "application/vnd.google-earth.kml+xml", "kmz": "application/vnd.google-earth.kmz",
    "gpx": "application/gpx+xml", "wsdl": "application/wsdl+xml",
    // Images.
    "png": "image/png", "apng": "image/apng", "jpg": "image/jpeg", "jpeg": "image/jpeg",
    "jfif": "image/jpeg", "jxl": "image/jxl", "gif": "image/gif", "webp": "image/webp",
    "avif": "image/avif", "heic": "image/heic", "heif": "image/heif", "svg": "image/svg+xml",
    "ico": "image/vnd.microsoft.icon", "cur": "image/vnd.microsoft.icon", "bmp": "image/bmp",
    "tif": "image/tiff", "tiff": "image/tiff", "jp2": "image/jp2",
    "psd": "image/vnd.adobe.photoshop",
    // Fonts.
    "woff": "font/woff", "woff2": "font/woff2", "ttf": "font/ttf", "otf": "font/otf",
    "ttc": "font/collection", "eot": "application/vnd.ms-fontobject",
    // Sound.
    "mp3": "audio/mpeg", "m4a": "audio/mp4", "aac": "audio/aac", "oga": "audio/ogg",
    "ogg": "audio/ogg", "opus": "audio/ogg", "flac": "audio/flac", "wav": "audio/wav",
    "weba": "audio/webm", "mid": "audio/midi", "midi": "audio/midi", "aif": "audio/aiff",
    "aiff": "audio/aiff",
    // Pictures that move, and their playlists.
    "mp4": "video/mp4", "m4v": "video/mp4", "m4s": "video/iso.segment", "webm": "video/webm",
    "ogv": "video/ogg", "mov": "video/quicktime", "avi": "video/x-msvideo", "mkv": "video/matroska",
    "mpeg": "video/mpeg", "mpg": "video/mpeg", "ts": "video/mp2t", "3gp": "video/3gpp",
    "3g2": "video/3gpp2", "m3u8": "application/vnd.apple.mpegurl",
    "m3u": "application/vnd.apple.mpegurl", "mpd": "application/dash+xml",
    // Three dimensions.
    "gltf": "model/gltf+json", "glb": "model/gltf-binary", "stl": "model/stl", "obj": "model/obj",
    "usdz": "model/vnd.usdz+zip",
    // Papers and offices.
    "pdf": "application/pdf", "rtf": "application/rtf", "epub": "application/epub+zip",
    "ps": "application/postscript", "eps": "application/postscript", "tex": "application/x-tex",
    "doc": "application/msword", "xls": "application/vnd.ms-excel",
    "ppt": "application/vnd.ms-powerpoint",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "odt": "application/vnd.oasis.opendocument.text",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odp": "application/vnd.oasis.opendocument.presentation",
    // Archives and programs.
    "gz": "application/gzip", "tgz": "application/gzip", "zip": "application/zip",
    "zst": "application/zstd", "br": "application/octet-stream", "bz2": "application/x-bzip2",
    "xz": "application/x-xz", "7z": "application/x-7z-compressed", "tar": "application/x-tar",
    "rar": "application/vnd.rar", "jar": "application/java-archive",
    "apk": "application/vnd.android.package-archive",
    "deb": "application/vnd.debian.binary-package",
    "rpm": "application/x-rpm", "dmg": "application/x-apple-diskimage",
    "iso": "application/x-iso9660-image", "exe": "application/vnd.microsoft.portable-executable",
    "msi": "application/x-msi", "torrent": "application/x-bittorrent",
    // Keys and settings.
    "pem": "application/x-pem-file", "crt": "application/x-x509-ca-cert",
    "cer": "application/pkix-cert", "crl": "application/pkix-crl", "asc": "application/pgp-keys",
    "sig": "application/pgp-signature", "mobileconfig": "application/x-apple-aspen-config",
  ]
}
