# For /etc/varnish/, tested with Varnish 7.1: docs/how-to/edges.md explains each line.
vcl 4.1;

import std;

backend django {
    .host = "127.0.0.1";
    .port = "8001";
    .connect_timeout = 1s;
    .first_byte_timeout = 15s;
    .between_bytes_timeout = 5s;
}

sub vcl_recv {
    set req.http.X-Forwarded-For = client.ip;  # POLLABLE_NUM_PROXIES = 1

    # What is for one client: pass, so that If-None-Match reaches Django, and its 304 the client.
    if ((req.method != "GET" && req.method != "HEAD") || req.url !~ "^/api/(status|events)/") {
        if (req.http.Range) {
            return (pipe);  # Varnish takes a 416 with its Content-Range for a broken answer
        }
        return (pass);
    }

    # What everybody may see: nobody's identity gets there, and so nobody's answer is shared.
    unset req.http.Authorization;
    unset req.http.Cookie;
    unset req.http.Origin;
    unset req.http.X-Forwarded-For;
    unset req.http.Accept-Language;
    unset req.http.Range;
    set req.http.Accept = "application/json";
    return (hash);
}

sub vcl_pipe {
    set bereq.http.Connection = "close";  # else the next request would get to Django as the client sends it
}

sub vcl_backend_response {
    if (beresp.http.Content-Type ~ "json|css|javascript|svg") {
        set beresp.do_gzip = true;
    }
    if (bereq.uncacheable) {
        return (deliver);
    }
    if (beresp.status == 200 && beresp.http.Cache-Control ~ "public") {
        unset beresp.http.Set-Cookie;
        set beresp.grace = 60s;  # stale meanwhile, and while Django is gone
        set beresp.keep = 10m;   # stays longer to be revalidated
        return (deliver);
    }
    if (bereq.is_bgfetch && (beresp.status == 429 || beresp.status >= 500)) {
        return (abandon);  # else the error would take the place of what is stale
    }
    set beresp.uncacheable = true;
    set beresp.ttl = 1s;  # how long nobody waits for another's answer, which cannot be shared
    return (deliver);
}

# What a client gets while Django is gone; Varnish's own page has the same Retry-After for all.
sub vcl_backend_error {
    set beresp.http.Content-Type = "application/problem+json";
    set beresp.http.Cache-Control = "no-store";
    set beresp.http.Retry-After = std.integer(real = std.random(5, 15), fallback = 10);
    set beresp.body = """{"type":"urn:pollable:problem:temporary-reduced-capacity","title":"Temporary reduced capacity","status":503,"detail":"The server cannot be reached."}""";
    return (deliver);
}

sub vcl_deliver {
    if (resp.http.Vary !~ "Accept-Encoding") {  # Varnish adds it to what it has compressed, and to no 304
        set resp.http.Vary = regsub(resp.http.Vary + ", Accept-Encoding", "^, ", "");
    }
    if (obj.uncacheable) {
        return (deliver);
    }
    set resp.http.Accept-Ranges = "none";
    if (obj.hits == 0) {
        set resp.http.X-Cache = "MISS";
    } elseif (obj.ttl < 0s) {
        set resp.http.X-Cache = "STALE";
    } else {
        set resp.http.X-Cache = "HIT";
    }
}
