package web

const requests = "web_requests_total"
