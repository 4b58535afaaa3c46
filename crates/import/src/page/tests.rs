use super::*;

fn page(html: &str) -> Page {
    read_page(html, &Url::parse("https://www.example.org/dir/page.html").unwrap())
}

fn urls(html: &str) -> Vec<String> {
    page(html).pictures.into_iter().map(|picture| picture.url).collect()
}

#[test]
fn reads_what_the_head_says() {
    let page = page(
        r#"<!doctype html><html><head><title>Plain &amp; simple</title>
        <meta property="og:title" content="A &#8220;red&#8221; bowl"><meta name=description content='In plain words'>
        <meta property="og:site_name" content="Example"><link rel="canonical" href="/bowl">
        <meta property="og:image" content="/img/og.jpg"><meta property="og:image:width" content="1200"><meta property="og:image:height" content="630">
        <meta property="og:image:alt" content="a bowl"><meta name="twitter:image" content="//cdn.example.net/tw.jpg">
        <meta name="keywords" content="bowl, Still life, bowl"><meta property="article:tag" content="red"><meta name="author" content="Ann"></head></html>"#,
    );
    assert_eq!(page.title.as_deref(), Some("A “red” bowl"));
    assert_eq!(page.description.as_deref(), Some("In plain words"));
    assert_eq!((page.site_name.as_deref(), page.author.as_deref()), (Some("Example"), Some("Ann")));
    assert_eq!(page.canonical.as_deref(), Some("https://www.example.org/bowl"));
    assert_eq!(page.tags, ["bowl", "Still life", "red"]);
    let first =
        PagePicture { url: "https://www.example.org/img/og.jpg".into(), width: Some(1200), height: Some(630), alt: Some("a bowl".into()) };
    assert_eq!(page.pictures[0], first);
    assert_eq!(page.pictures[1].url, "https://cdn.example.net/tw.jpg");
}

#[test]
fn a_bare_page_gives_its_title_and_host() {
    let page = page("<title>\n Just\n this </title><p>Text<svg><title>Icon</title></svg>");
    assert_eq!((page.title.as_deref(), page.site_name.as_deref()), (Some("Just this"), Some("example.org")));
    assert!(page.pictures.is_empty() && page.description.is_none() && page.canonical.is_none());
}

#[test]
fn finds_pictures_where_pages_hide_them_best_first() {
    let html = r#"
        <img src="small.jpg" width=120 height=120><img src="noinfo.jpg" alt=" No  info ">
        <img src="data:image/gif;base64,R0" data-src="lazy.jpg" width="800" height="600">
        <img src="s.jpg" srcset="s-400.jpg 400w, s-1600.jpg 1600w, s-800.jpg 800w" width=400 height=300>
        <img srcset="a,b.jpg 1x, a,b-2.jpg 2x"><picture><source srcset="p.webp 900w" type="image/webp"><source srcset="p.avif" type="image/avif"></picture>
        <a href="full.PNG"><img src="thumb.png" width="90" height="90"></a><a href="other.html">x</a>
        <noscript><img src="noscript.jpg"></noscript><video poster="poster.jpg"></video>
        <script type="application/ld+json">{"@context":"https://schema.org","@graph":[{"@type":"WebSite","name":"Site","image":"no.jpg"},
          {"@type":"Recipe","name":"Bread","description":"d","keywords":"rye,bread","author":{"name":"Ann"},
           "image":[{"@type":"ImageObject","url":"ld.jpg","width":1000,"height":"800"},"ld2.jpg"]}]}</script>"#;
    let page = page(html);
    let order: Vec<_> = page.pictures.iter().map(|picture| picture.url.rsplit_once('/').unwrap().1).collect();
    assert_eq!(
        order,
        [
            "ld.jpg",
            "ld2.jpg",
            "s-1600.jpg",
            "p.webp",
            "lazy.jpg",
            "noinfo.jpg",
            "a,b-2.jpg",
            "full.PNG",
            "noscript.jpg",
            "poster.jpg",
            "small.jpg",
            "thumb.png",
        ]
    );
    assert_eq!((page.pictures[0].width, page.pictures[0].height), (Some(1000), Some(800)));
    assert_eq!((page.pictures[2].width, page.pictures[2].height), (Some(1600), Some(1200)));
    assert_eq!(page.pictures[5].alt.as_deref(), Some("No info"));
    assert_eq!((page.title.as_deref(), page.author.as_deref(), page.tags.len()), (Some("Bread"), Some("Ann"), 2));
}

#[test]
fn leaves_out_icons_trackers_and_what_no_pin_can_have() {
    let html = r#"<img src="a.jpg" width=1 height=1><img src="b.jpg" width="32px"><img src="c.svg"><img src="favicon.ico">
        <img src="data:image/png;base64,AAAA"><img src="https://t.example/pixel.gif?x=1"><img src="javascript:alert(1)"><img src="ftp://x/y.jpg">
        <img src=""><img><img src="https://"><meta property="og:image" content="tiny.png"><meta property="og:image:width" content="16">"#;
    assert_eq!(urls(html), Vec::<String>::new());
    assert_eq!(
        urls("<img src='logo.png' width=900 height=900><img src='x.jpg'>"),
        ["https://www.example.org/dir/x.jpg", "https://www.example.org/dir/logo.png"]
    );
}

#[test]
fn addresses_are_absolute_unique_and_follow_base() {
    let html = "<base href='https://cdn.example.net/a/'><base href='/no/'><img src='b.jpg'><img src='/a/b.jpg#x'><img src='https://cdn.example.net/a/b.jpg'>\
        <meta property='og:image' content='http://x.example/i.jpg'><meta property='og:image:secure_url' content='https://x.example/i.jpg'>";
    assert_eq!(urls(html), ["https://x.example/i.jpg", "https://cdn.example.net/a/b.jpg"]);
    let many: String = (0..5_000).map(|n| format!("<img src='{n}.jpg'>")).collect();
    assert_eq!(urls(&many).len(), crate::limits::PAGE_PICTURES_MAX);
    assert_eq!(urls(&format!("<img src='{}.jpg'>", "a".repeat(3_000))).len(), 0);
}

#[test]
fn texts_fit_a_pin() {
    let page = page(&format!("<title>{}</title><meta name=description content=\"{}\">", "word ".repeat(200), "x\u{0}y ".repeat(2_000)));
    assert!(page.title.unwrap().chars().count() <= PIN_TITLE_CHARS_MAX);
    assert!(page.description.unwrap().chars().count() <= PIN_DESCRIPTION_CHARS_MAX);
}

#[test]
fn hostile_pages_are_read_in_linear_time() {
    for piece in [
        "<b>",
        "<p><a>",
        "<img ",
        "<img src=a.jpg srcset='",
        "<!--",
        "<script>",
        "<script type=application/ld+json>[",
        "<title>",
        "&amp",
        "<meta property=og:image content=x.jpg>",
    ] {
        let html = piece.repeat((2 << 20) / piece.len());
        assert!(page(&html).pictures.len() <= crate::limits::PAGE_PICTURES_MAX);
    }
    let srcset = format!("<img srcset='{}'>", "a 1w,".repeat(300_000));
    assert!(urls(&srcset).len() <= 1);
    let json = format!("<script type=application/ld+json>{}{}</script>", "{\"@graph\":".repeat(100), "1".to_owned() + &"}".repeat(100));
    page(&json);
    // Cut in the middle of a character.
    page(&"é".repeat(PAGE_BYTES_MAX));
}
