import Bytes
import HTTPCaching
import Testing

private func check(_ path: String, _ type: String?) -> ExtensionFit {
  DeceptionDefence.check(path: view(path), contentType: type.map { view($0) })
}

@Suite struct `Web cache deception` {
  @Test(arguments: [
    ("/a.css", "text/css"), ("/a.CSS", "Text/CSS; charset=utf-8"), ("/a.js", "text/javascript"),
    ("/a.js", "application/javascript"), ("/a.mjs", "application/x-javascript"),
    ("/a.png", "image/webp"), ("/a.jpg", "image/avif"), ("/a.svg", "image/svg+xml"),
    ("/a.mp4", "video/mp4"), ("/a.mp3", "audio/mpeg"), ("/a.ogg", "application/ogg"),
    ("/a.json", "application/json"), ("/a.json", "application/problem+json"),
    ("/a.map", "application/json"), ("/a.xml", "text/xml"), ("/a.rss", "application/rss+xml"),
    ("/a.txt", "text/plain"), ("/a.csv", "text/csv"), ("/a.woff2", "font/woff2"),
    ("/a.woff", "application/font-woff"), ("/a.ttf", "application/x-font-ttf"),
    ("/a.eot", "application/vnd.ms-fontobject"), ("/a.pdf", "application/pdf"),
    ("/a.wasm", "application/wasm"), ("/a.zip", "application/zip"),
    ("/a.gz", "application/octet-stream"), ("/a.min.js", "text/javascript ; x=1"),
    ("/x/a%2ecss", "text/css"),
  ]) func `what an extension promises fits`(path: String, type: String) {
    #expect(check(path, type) == .fits)
    #expect(check(path, type).mayStore)
  }

  @Test(arguments: [
    "/account/x.css", "/account;x.css", "/account%3Bx.css", "/account%2Fx.css", "/account%00x.css",
    "/account%23x.css", "/account%3Fx.css", "/account/x%2Ecss", "/account/%78.%63%73%73",
    "/account/x.CsS", "/account/..%2fx.css", "/account/.css", "/x.png", "/x.js", "/x.json",
    "/x.xml", "/x.txt", "/x.woff2", "/x.pdf", "/x.zip", "/x.mp4", "/x.wasm", "/x.ico",
  ]) func `a page under such a name does not`(path: String) {
    #expect(check(path, "text/html; charset=utf-8") == .mismatch)
    #expect(check(path, "application/xhtml+xml") == .mismatch)
    #expect(check(path, nil) == .noType)
    #expect(check(path, "html") == .noType)
    #expect(check(path, "") == .noType)
    #expect(check(path, "/; /") == .noType)
    #expect(!check(path, "text/html").mayStore)
  }

  @Test(arguments: [
    ("/a.css", "text/plain"), ("/a.css", "image/css"), ("/a.js", "application/json"),
    ("/a.json", "text/javascript"), ("/a.png", "text/plain"), ("/a.zip", "application/json"),
    ("/a.css", "text/cssx"), ("/a.css", "xtext/css"), ("/a.pdf", "application/json"),
    ("/a.exe", "application/rss+xml"),
  ]) func `neither does another type`(path: String, type: String) {
    #expect(check(path, type) == .mismatch)
  }

  @Test(arguments: [
    "/", "/a", "/a.", "/a.css/", "/a.css/b", "/a.html", "/a.php", "/v1.2", "", "*", "/a.cssx",
    "/a.verylongextension", "/a.css%2Fb", "/%", "/a.%", "/a.cs%73%",
  ]) func `no extension, or one that is not known, promises nothing`(path: String) {
    #expect(check(path, "text/html") == .noPromise)
    #expect(check(path, nil) == .noPromise)
    #expect(check(path, nil).mayStore)
  }
}
