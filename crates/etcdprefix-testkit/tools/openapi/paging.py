"""Long lists in pages: by number and size, or by token."""

import base64

from .errors import ApiError, invalid


def page(parameters, items, default, limit):
    """The items of the page that was asked for, and the members that tell about it."""
    if "MaxResults" in parameters or "NextToken" in parameters:
        size = number(parameters, "MaxResults", default, 1, limit)
        start = _start(parameters.get("NextToken"))
        found = items[start : start + size]
        rest = start + size < len(items)
        token = base64.b64encode(f"from-{start + size}".encode()).decode() if rest else ""
        return found, {"NextToken": token, "MaxResults": size, "TotalCount": len(items)}
    size = number(parameters, "PageSize", default, 1, limit)
    at = number(parameters, "PageNumber", 1, 1, 1 << 20)
    found = items[(at - 1) * size : at * size]
    return found, {"PageNumber": at, "PageSize": size, "TotalCount": len(items)}


def number(parameters, name, default, least, most):
    try:
        value = int(parameters.get(name, default))
    except ValueError:
        raise invalid(name, "it is no number") from None
    if not least <= value <= most:
        raise invalid(name, f"it is not from {least} to {most}")
    return value


def numbered(parameters, name):
    """`name.1`, `name.2` and so on; `name.1.Key` becomes a dict."""
    found = {}
    for key, value in parameters.items():
        parts = key.split(".")
        if parts[0] == name and len(parts) == 2 and parts[1].isdigit():
            found[int(parts[1])] = value
        elif parts[0] == name and len(parts) == 3 and parts[1].isdigit():
            found.setdefault(int(parts[1]), {})[parts[2]] = value
    return [found[number] for number in sorted(found)]


def _start(token):
    if not token:
        return 0
    try:
        return int(base64.b64decode(token).decode().removeprefix("from-"))
    except ValueError:
        raise ApiError(400, "InvalidParameter.NextToken", "The specified NextToken is not valid.") from None
