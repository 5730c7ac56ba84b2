"use strict";
(function () {
  var byId = function (id) { return document.getElementById(id); };
  var all = function (root, what) { return Array.prototype.slice.call(root.querySelectorAll(what)); };
  byId("tools").hidden = false;

  function key(row, column) {
    var text = row.children[column].textContent.trim().replace("≥", "");
    var value = parseFloat(text.replace("−", "-"));
    return { value: isNaN(value) ? null : value, text: text.toLowerCase() };
  }
  all(document, "table.board").forEach(function (table) {
    var heads = all(table, "thead th"), body = table.querySelector("tbody.rows");
    heads.forEach(function (head, column) {
      if (head.hasAttribute("data-fixed")) { return; }
      var button = document.createElement("button");
      button.type = "button";
      while (head.firstChild) { button.appendChild(head.firstChild); }
      head.appendChild(button);
      button.addEventListener("click", function () {
        var up = head.getAttribute("aria-sort") !== "ascending";
        heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        var words = column === 2 || column === heads.length - 1;
        var rows = all(body, "tr").map(function (row) { return [key(row, column), row]; });
        rows.sort(function (a, b) {
          var order;
          if (words) { order = a[0].text < b[0].text ? -1 : a[0].text > b[0].text ? 1 : 0; }
          else if (a[0].value === null || b[0].value === null) {
            return (a[0].value === null ? 1 : 0) - (b[0].value === null ? 1 : 0);
          } else { order = a[0].value - b[0].value; }
          return up ? order : -order;
        });
        rows.forEach(function (pair) { body.appendChild(pair[1]); });
        byId("said").textContent = "Sorted by " + button.textContent.trim() + (up ? ", rising." : ", falling.");
      });
    });
  });

  function filter() {
    var words = byId("filter").value.toLowerCase(), how = byId("hide").value, shown = 0;
    all(document, "tbody.rows tr").forEach(function (row) {
      var text = row.querySelector("th").textContent.toLowerCase();
      var hide = text.indexOf(words) < 0 ||
        (how === "baseline" && row.querySelector(".baseline")) ||
        (how === "unverified" && !row.querySelector(".verified"));
      row.hidden = Boolean(hide);
      if (!hide) { shown += 1; }
    });
    byId("said").textContent = shown + (shown === 1 ? " row shown." : " rows shown.");
  }
  byId("filter").addEventListener("input", filter);
  byId("hide").addEventListener("change", filter);

  byId("compare").addEventListener("click", function () {
    var picked = all(document, "td.pick input:checked").map(function (box) { return box.value; });
    if (picked.length !== 2) {
      byId("said").textContent = "Tick exactly two submissions; " + picked.length + " are ticked.";
      return;
    }
    location.href = "compare.html#" + picked.join(",");
  });
}());
