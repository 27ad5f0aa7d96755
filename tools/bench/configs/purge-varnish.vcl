vcl 4.1;
import xkey;
backend origin {
  .host = "127.0.0.1";
  .port = "@ORIGIN@";
}
sub vcl_recv {
  if (req.method == "PURGE") {
    if (req.http.xkey-purge) {
      set req.http.count = xkey.purge(req.http.xkey-purge);
      return (synth(200, req.http.count));
    }
    return (purge);
  }
}
sub vcl_backend_response {
  set beresp.ttl = 1d;
}
sub vcl_deliver {
  if (obj.hits > 0) { set resp.http.cache-status = "varnish; hit"; }
}
