// The dashboard as a browser shows it, of a node that has something to do.

import EdgeTesting
import EventLoop
import Foundation
import RedisTesting
import Testing

@Suite(.enabled(if: Browser.isInstalled, "there is no \(Browser.path)"))
struct DashboardTests {
  /// With WEIR_WRITE_DOCS set, writes the picture into the documentation.
  @Test func `a browser shows the figures, tunes a limit, drains a server and purges`() async throws
  {
    let origin = try await ScriptedOrigin.answering { request in
      let isCached = !request.target.contains("private")
      return Reply(
        request.target.contains("bad") ? 500 : 200,
        ["Cache-Control: \(isCached ? "max-age=600" : "no-store")", "Cache-Tag: front"],
        String(repeating: "x", count: 2000))
    }
    let node = try TestNode.start(
      origin: origin.port, route: "limit clients;",
      top: "limit clients { token_bucket 500/s burst=1000; key client.ip; }", clock: NodeClock())
    defer { node.stop() }
    let traffic = Task {
      let client = try await node.connect()
      var number = 0
      while !Task.isCancelled {
        number += 1
        let target =
          number % 29 == 0
          ? "/bad" : number % 7 == 0 ? "/private/\(number)" : "/\(number * number % 40)"
        _ = try await client.get(target)
      }
    }
    defer { traffic.cancel() }
    let profile = try TemporaryDirectory()
    let browser = try Browser(profile: profile.path)
    defer { browser.stop() }
    let page = try await BrowserPage.open(
      "http://127.0.0.1:\(node.adminPort)/dashboard", in: browser)
    try await page.setWindow(width: 1200, height: 1280, scheme: "dark")

    func text(_ id: String) async throws -> String {
      try await page.value("document.getElementById('\(id)').textContent").string ?? ""
    }
    try await eventually("figures to be shown") { try await text("ratio").hasSuffix("%") }
    #expect(try await text("state") == "live")
    #expect(try await text("node") == "weir")
    try await eventually("some seconds to be drawn") {
      try await page.value(
        "document.querySelector('#chart-rate polyline').points.length"
      ).int ?? 0 > 5
    }
    for (place, word) in [
      ("routes", "*/"), ("limits", "clients"), ("origins", "up"), ("store-fill", " of "),
    ] {
      try await eventually("\(word) among the \(place)") { try await text(place).contains(word) }
    }

    // A change of a limit asks for the token once, which is then kept.
    _ = try await page.value(
      "(() => { const row = document.querySelector('#limits tr'); row.parts.value.value = '400/s';"
        + " row.querySelector('button').click(); })()")
    try await eventually("the token to be asked for") {
      try await page.value("document.getElementById('token-dialog').open").bool == true
    }
    _ = try await page.value(
      "(() => { const form = document.getElementById('token-form');"
        + " form.token.value = '\(TestNode.token)'; form.requestSubmit(); })()")
    try await eventually("the limit to be changed") {
      try await node.admin("GET", "/v1/limits/clients").json()["rate"]?.string == "400/s"
    }

    // A purge.
    _ = try await page.value(
      "(() => { const form = document.getElementById('purge'); form.what.value = 'front';"
        + " form.requestSubmit(); })()")
    try await eventually("the purge to be answered") {
      try await page.value("document.querySelector('#purge output').textContent").string?
        .contains("Reached") == true
    }

    // What is missed and hit most, by tags too.
    for (list, head) in [("/v1/misses?of=tags", "namemisses"), ("/v1/hits?of=tags", "taghits")] {
      _ = try await page.value(
        "(() => { const of = document.getElementById('top-of'); of.value = '\(list)';"
          + " of.dispatchEvent(new Event('change')); })()")
      try await eventually("the tag to be listed by \(list)") {
        let (title, tags) = (try await text("top-head"), try await text("top"))
        return title.hasPrefix(head) && tags.contains("front")
      }
    }

    // Draining takes two clicks.
    _ = try await page.value(
      "(() => { const button = document.querySelector('#origins button'); button.click();"
        + " button.click(); })()")
    try await eventually("the server to be drained") {
      try await text("origins").contains("draining")
    }
    _ = try await page.value(
      "(() => { const button = document.querySelectorAll('#origins button')[1]; button.click();"
        + " button.click(); })()")
    try await eventually("the server to be up again") { try await text("origins").contains("up") }

    let picture = try await page.picture()
    #expect(picture.count > 10_000)
    if ProcessInfo.processInfo.environment["WEIR_WRITE_DOCS"] != nil {
      try picture.write(to: URL(fileURLWithPath: #filePath + "/../../../docs/dashboard.png"))
    }

    // On a phone nothing is wider than the window, in dark and in light.
    for scheme in ["dark", "light"] {
      try await page.setWindow(width: 390, height: 844, scheme: scheme)
      let width = try await page.value("document.documentElement.scrollWidth").int
      #expect(width == 390, "\(scheme)")
    }
    let ground = "getComputedStyle(document.body).backgroundColor"
    #expect(try await page.value(ground).string == "rgb(245, 247, 249)")
    #expect(browser.complaints == [])
  }

  @Test(.enabled(if: RedisProcess.isInstalled, "redis-server is not installed"))
  func `the PoPs of a fleet are shown, and how long purges took`() async throws {
    let engine = try RedisProcess()
    let origin = try await ScriptedOrigin.answering { _ in Reply(200, [], "x") }
    let nodes = try ["fra-1", "par-1"].map { name in
      try TestNode.start(
        origin: origin.port,
        top: "fleet shop { server 127.0.0.1:\(engine.port); pop \(name); region eu; }",
        workers: 1, clock: NodeClock())
    }
    defer { for node in nodes { node.stop() } }
    let profile = try TemporaryDirectory()
    let browser = try Browser(profile: profile.path)
    defer { browser.stop() }
    let page = try await BrowserPage.open(
      "http://127.0.0.1:\(nodes[0].adminPort)/dashboard", in: browser)
    func text(_ id: String) async throws -> String {
      try await page.value("document.getElementById('\(id)').textContent").string ?? ""
    }
    try await eventually("both PoPs to be in step") {
      let rows = try await text("fleet")
      return rows.contains("fra-1") && rows.contains("par-1")
        && rows.components(separatedBy: "in step").count == 3
    }
    #expect(try await text("fleet-name") == "shop")
    #expect(try await text("fleet-here").hasPrefix("fra-1, eu: in step; engine 127.0.0.1:"))
    #expect(try await text("fleet-delays").contains("none yet"))

    // One that the other PoP has ordered.
    let purge = try await nodes[1].admin(
      "POST", "/v1/purge", json: "{\"tag\": \"front\", \"wait\": \"all\"}")
    #expect(purge.status == 200)
    try await eventually("its bar to be drawn") {
      try await page.value("document.querySelectorAll('#fleet-delays rect').length").int == 1
    }
    #expect(browser.complaints == [])
  }

  @Test func `away from loopback the page asks for the token first`() async throws {
    let directory = try TemporaryDirectory()
    let node = try TestNode.start(
      configuration: """
        listen 127.0.0.1:0;
        admin 0.0.0.0:0 { token "\(TestNode.token)"; }
        origin app 127.0.0.1:9;
        site * { origin app; }
        """, directory: directory, clock: NodeClock())
    defer { node.stop() }
    let profile = try TemporaryDirectory()
    let browser = try Browser(profile: profile.path)
    defer { browser.stop() }
    let page = try await BrowserPage.open(
      "http://127.0.0.1:\(node.adminPort)/dashboard", in: browser)
    try await eventually("the token to be asked for") {
      try await page.value("document.getElementById('token-dialog').open").bool == true
    }
    _ = try await page.value(
      "(() => { const form = document.getElementById('token-form');"
        + " form.token.value = '\(TestNode.token)'; form.requestSubmit(); })()")
    try await eventually("the stream to begin") {
      try await page.value("document.getElementById('state').textContent").string == "live"
    }
  }
}
