// The URLs of a sitemap (sitemaps.org, protocol 0.9): the contents of its `loc` elements, which name
// sitemaps where the document is a `sitemapindex`. What is no XML, or cut off, gives what can be found;
// comments and other elements are passed over. Compressed sitemaps are not read.

internal import Bytes
internal import HTTPMessage

enum Sitemap {
  /// What a document names, in order.
  static func locations(_ document: ByteView) -> [(url: String, isSitemap: Bool)] {
    var found: [(url: String, isSitemap: Bool)] = []
    var isIndex = false
    var place = 0
    while let open = document.firstIndex(of: UInt8(ascii: "<"), from: place) {
      if document.dropping(first: open).starts(with: ByteView("<!--")) {
        place = end(of: ByteView("-->"), in: document, from: open)
        continue
      }
      guard let close = document.firstIndex(of: UInt8(ascii: ">"), from: open) else { break }
      let name = localName(document[open + 1..<close])
      place = close + 1
      if name == "sitemapindex" { isIndex = true }
      guard name == "loc", found.count < Warming.limit else { continue }
      let end = document.firstIndex(of: UInt8(ascii: "<"), from: place) ?? document.count
      let url = text(document[place..<end].trimmingWhitespace)
      if !url.isEmpty && url.utf8.count <= 2_048 { found.append((url, isIndex)) }
      place = end
    }
    return found
  }

  private static func end(of mark: ByteView, in document: ByteView, from start: Int) -> Int {
    var place = start
    while place + mark.count <= document.count {
      if document[place..<place + mark.count] == mark { return place + mark.count }
      place += 1
    }
    return document.count
  }

  /// The name of an element without its prefix and attributes.
  private static func localName(_ tag: ByteView) -> String {
    let name = tag.prefix(64).string.prefix { !$0.isWhitespace }
    return name.split(separator: ":").last.map { $0.lowercased() } ?? ""
  }

  /// Text with the five entities that a sitemap has to escape.
  private static func text(_ bytes: ByteView) -> String {
    var text = bytes.string.filter { !$0.isNewline && $0 != "\t" }
    for (entity, character) in [
      ("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&"),
    ] where text.contains("&") {
      text = text.replacing(entity, with: character)
    }
    return text.trimmingPrefix(" ").description
  }
}
